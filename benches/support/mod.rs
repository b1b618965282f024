//! What the benches share. Each file says what lives in it.

pub(crate) mod counting;
pub(crate) mod shards;
