//! SCRAM-SHA-256, the server's side.
