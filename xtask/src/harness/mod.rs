//! What all tasks share: built programs, servers, tools of other stacks, and the final report.

pub(crate) mod cgroup;
pub(crate) mod chromium;
pub(crate) mod command;
pub(crate) mod console;
pub(crate) mod container;
pub(crate) mod cores;
pub(crate) mod daemon;
pub(crate) mod guided;
pub(crate) mod machine;
pub(crate) mod manifests;
pub(crate) mod net_namespace;
pub(crate) mod ports;
pub(crate) mod programs;
pub(crate) mod report;
pub(crate) mod resources;
pub(crate) mod sample;
pub(crate) mod sources;
pub(crate) mod tools;

// <greeter>
pub(crate) mod peers;
pub(crate) mod stacks;
pub(crate) mod workspace;
// </greeter>
