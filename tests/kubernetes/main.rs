//! Against the real Kubernetes: its allocator, its API server and its controllers.
//!
//! The programs are built from Debian's source package by `build.sh`, once, into a cache
//! outside the checkout (`CAUSEWAY_CACHE`, or `causeway` in the user's cache folder). Where
//! they cannot be built tests say SKIPPED, and fail where the environment has CI set.

mod cidr_set;
mod control_plane;
mod egress;
mod programs;
mod routes;
