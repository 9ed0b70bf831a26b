//! The rights that watching needs.

/// Objects for `kubectl apply -f -`: a service account in `namespace`, and a role that lets
/// it list and watch these (as "nodes"), and do nothing else.
pub fn rbac(namespace: &str, resources: &[&str]) -> String {
    let resources = resources.iter().map(|resource| format!("\"{resource}\"")).collect::<Vec<_>>().join(", ");
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
---
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
