//! What a gateway does with what is wrong: a clear error or a counted drop, never a
//! panic, and nothing left behind.

mod configurations;
mod frames;
mod hostile;
mod starts;
