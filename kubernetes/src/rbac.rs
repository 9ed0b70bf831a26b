//! The rights that watching needs.

/// Objects for `kubectl apply -f -`: a service account in `namespace`, and a role that lets
/// it list and watch these (as "nodes"), and do nothing else; with `patches`, also patch the
/// status of nodes.
pub fn rbac(namespace: &str, resources: &[&str], patches: bool) -> String {
    let resources = resources.iter().map(|resource| format!("\"{resource}\"")).collect::<Vec<_>>().join(", ");
    let patch =
        if patches { "  - apiGroups: [\"\"]\n    resources: [\"nodes/status\"]\n    verbs: [\"patch\"]\n" } else { "" };
    format!(
        "\
apiVersion: v1
kind: ServiceAccount
metadata:
  name: causeway
  namespace: {namespace}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: causeway
rules:
  - apiGroups: [\"\"]
    resources: [{resources}]
    verbs: [\"list\", \"watch\"]
{patch}---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: causeway
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: causeway
subjects:
  - kind: ServiceAccount
    name: causeway
    namespace: {namespace}
"
    )
}
