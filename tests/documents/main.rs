//! What the documents tell people to type must work.

mod commands;
mod shell_blocks;
