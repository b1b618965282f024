//! Delays after wrong passwords.
