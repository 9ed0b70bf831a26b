//! A Kubernetes control plane in the network namespace of the gateway.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use causeway_lab::Host;
use causeway_tests::folder::Folder;
use causeway_tests::program::{Finished, Service, run};
use serde_json::Value;

/// How long a command may take on a machine that is busy.
const SOON: Duration = Duration::from_secs(60);

/// etcd, an API server and a controller manager, all on the loopback interface of a host.
/// They end with this.
pub(crate) struct ControlPlane<'w> {
    host: &'w Host,
    programs: &'static Path,
    folder: Folder,
    controllers: Option<Service>,
    api_server: Option<Service>,
    _etcd: Service,
}

impl<'w> ControlPlane<'w> {
    /// Starts etcd and the API server.
    pub(crate) fn start(host: &'w Host, programs: &'static Path) -> ControlPlane<'w> {
        let folder = Folder::new();
        certificates(folder.path());
        for (name, user) in [("admin", "admin"), ("gateway", "gateway")] {
            folder.write(&format!("{name}.kubeconfig"), kubeconfig(folder.path(), user));
        }
        let mut etcd = host.command(programs.join("etcd"));
        etcd.arg("--data-dir").arg(folder.path().join("etcd")).args([
            "--listen-client-urls=http://127.0.0.1:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
            "--listen-peer-urls=http://127.0.0.1:2380",
            "--unsafe-no-fsync",
        ]);
        let etcd = Service::start(&mut etcd, |said| said.contains("ready to serve client requests"));
        let mut plane = ControlPlane { host, programs, folder, controllers: None, api_server: None, _etcd: etcd };
        plane.start_api_server();
        plane
    }

    pub(crate) fn start_api_server(&mut self) {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut command = self.host.command(self.programs.join("kube-apiserver"));
        command.args([
            "--etcd-servers=http://127.0.0.1:2379",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--secure-port=6443",
            "--service-cluster-ip-range=10.96.0.0/12",
            "--authorization-mode=RBAC",
            "--endpoint-reconciler-type=none",
            "--service-account-issuer=https://127.0.0.1:6443",
        ]);
        for (flag, name) in [
            ("tls-cert-file", "server.crt"),
            ("tls-private-key-file", "server.key"),
            ("client-ca-file", "ca.crt"),
            ("service-account-key-file", "server.key"),
            ("service-account-signing-key-file", "server.key"),
            ("cert-dir", "generated"),
        ] {
            command.arg(format!("--{flag}={}", file(name)));
        }
        let ready = |_: &str| self.try_kubectl(&["get", "--raw", "/readyz"]).status.success();
        self.api_server = Some(Service::start(&mut command, ready));
    }

    pub(crate) fn stop_api_server(&mut self) {
        self.api_server.take().expect("it runs").end(libc::SIGKILL);
    }

    /// Starts the controller that gives pod CIDRs to nodes.
    pub(crate) fn start_controllers(&mut self, flags: &[&str]) {
        let mut command = self.host.command(self.programs.join("kube-controller-manager"));
        command.arg("--kubeconfig").arg(self.kubeconfig("admin")).arg("--cert-dir").arg(self.folder.path());
        command.args([
            "--bind-address=127.0.0.1",
            "--leader-elect=false",
            "--controllers=nodeipam",
            "--allocate-node-cidrs=true",
            "--v=2",
        ]);
        self.controllers = Some(Service::start(command.args(flags), |said| said.contains("Started \"nodeipam\"")));
    }

    /// The kubeconfig of "admin", or of "gateway", who has only what it is granted.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.folder.path().join(format!("{user}.kubeconfig"))
    }

    /// Runs kubectl as admin.
    #[track_caller]
    pub(crate) fn kubectl(&self, words: &[&str]) -> Finished {
        self.try_kubectl(words).success()
    }

    fn try_kubectl(&self, words: &[&str]) -> Finished {
        let mut command = self.host.command(self.programs.join("kubectl"));
        command.env("HOME", self.folder.path()).arg("--kubeconfig").arg(self.kubeconfig("admin"));
        run(command.args(words), SOON)
    }

    /// Makes objects from their text.
    #[track_caller]
    pub(crate) fn apply(&self, objects: &str) {
        let path = self.folder.write("objects", objects);
        self.kubectl(&["apply", "-f", &path.display().to_string()]);
    }

    /// Makes a node, as a kubelet would; without pod CIDR if that is empty.
    #[track_caller]
    pub(crate) fn add_node(&self, name: &str, address: &str, pod_cidr: &str) {
        let spec = if pod_cidr.is_empty() {
            serde_json::json!({})
        } else {
            serde_json::json!({ "podCIDR": pod_cidr, "podCIDRs": [pod_cidr] })
        };
        let node = serde_json::json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name }, "spec": spec,
            "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
        });
        let path = self.folder.write("node.json", node.to_string());
        self.kubectl(&["create", "-f", &path.display().to_string()]);
    }

    /// Makes a namespace, in which pods may be made without other controllers.
    #[track_caller]
    pub(crate) fn add_namespace(&self, name: &str, label: &str) {
        self.kubectl(&["create", "namespace", name]);
        self.kubectl(&["label", "namespace", name, label]);
        self.kubectl(&["create", "serviceaccount", "default", "--namespace", name]);
    }

    /// Makes a pod with a label, and gives it an address as its kubelet would.
    #[track_caller]
    pub(crate) fn add_pod(&self, namespace: &str, name: &str, label: (&str, &str), address: &str) {
        let pod = serde_json::json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "labels": { label.0: label.1 } },
            "spec": { "automountServiceAccountToken": false, "containers": [{ "name": "c", "image": "none" }] },
        });
        let path = self.folder.write("pod.json", pod.to_string()).display().to_string();
        self.kubectl(&["create", "-f", &path]);
        let made = self.kubectl(&["get", "pod", name, "--namespace", namespace, "-o", "json"]).stdout;
        let mut made: Value = serde_json::from_str(&made).expect("JSON");
        made["status"] = serde_json::json!({ "phase": "Running", "podIP": address, "podIPs": [{ "ip": address }] });
        let path = self.folder.write("pod.json", made.to_string()).display().to_string();
        let status = format!("/api/v1/namespaces/{namespace}/pods/{name}/status");
        self.kubectl(&["replace", "--raw", &status, "-f", &path]);
    }

    /// A node as the API server has it.
    pub(crate) fn node(&self, name: &str) -> Value {
        let text = self.kubectl(&["get", "node", name, "-o", "json"]).stdout;
        serde_json::from_str(&text).expect("JSON")
    }

    /// Status and reason of a node's condition, if it has it.
    pub(crate) fn condition(&self, node: &str, kind: &str) -> Option<(String, String)> {
        let node = self.node(node);
        let conditions = node["status"]["conditions"].as_array()?;
        let condition = conditions.iter().find(|condition| condition["type"] == kind)?;
        let text = |key: &str| condition[key].as_str().expect("text").to_owned();
        Some((text("status"), text("reason")))
    }

    /// What is in a node's `spec.podCIDRs`.
    pub(crate) fn pod_cidrs(&self, name: &str) -> Vec<String> {
        let node = self.node(name);
        let list = node["spec"]["podCIDRs"].as_array().cloned().unwrap_or_default();
        list.iter().map(|cidr| cidr.as_str().expect("text").to_owned()).collect()
    }
}

/// A CA, the API server's certificate and those of its users.
fn certificates(folder: &Path) {
    let openssl = |words: &str| {
        run(Command::new("openssl").args(words.split(' ')).current_dir(folder), SOON).success();
    };
    let key = |name: &str| openssl(&format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out {name}.key"));
    key("ca");
    openssl("req -x509 -new -key ca.key -sha256 -days 30 -subj /CN=ca -out ca.crt");
    for (name, subject, extensions) in [
        ("server", "/CN=kube-apiserver", "extendedKeyUsage=serverAuth\nsubjectAltName=IP:127.0.0.1\n"),
        ("admin", "/O=system:masters/CN=admin", "extendedKeyUsage=clientAuth\n"),
        // The name of the service account that `causeway kubernetes rbac` is for.
        ("gateway", "/CN=system:serviceaccount:kube-system:causeway", "extendedKeyUsage=clientAuth\n"),
    ] {
        key(name);
        openssl(&format!("req -new -key {name}.key -subj {subject} -out {name}.csr"));
        std::fs::write(folder.join("extensions"), extensions).expect("a folder of our own");
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -sha256 -extfile extensions -out {name}.crt"
        ));
    }
}

/// Written by hand: Debian's kubectl 1.20 panics where it should write one.
fn kubeconfig(folder: &Path, user: &str) -> String {
    // The gateway has to be told which one.
    let current = if user == "gateway" { "nowhere" } else { "lab" };
    let file = |name: &str| folder.join(name).display().to_string();
    let (ca, certificate, key) = (file("ca.crt"), file(&format!("{user}.crt")), file(&format!("{user}.key")));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         current-context: {current}\n\
         clusters:\n\
         - {{name: here, cluster: {{server: \"https://127.0.0.1:6443\", certificate-authority: \"{ca}\"}}}}\n\
         - {{name: nowhere, cluster: {{server: \"https://127.0.0.1:1\"}}}}\n\
         users:\n\
         - {{name: user, user: {{client-certificate: \"{certificate}\", client-key: \"{key}\"}}}}\n\
         contexts:\n\
         - {{name: lab, context: {{cluster: here, user: user}}}}\n\
         - {{name: nowhere, context: {{cluster: nowhere, user: user}}}}\n"
    )
}
