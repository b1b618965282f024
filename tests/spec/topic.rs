//! To come.

use super::script::Row;

pub(crate) const ROWS: &[Row] = &[];
