//! The Kubernetes API server as a source of nodes.
