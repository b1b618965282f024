//! Password files: hashes that are read, and those that are written.
