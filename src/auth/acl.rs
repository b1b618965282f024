//! What a client may do, by topic: rules of a file, a token or a hook.
