//! What the documents tell people to type must work.

mod commands;
mod rfc;
mod shell_blocks;
