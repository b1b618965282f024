//! Subscription options and QoS as they stand in a byte.
//!
//! May use: `codec`. Invariant: what is read back was written, or is an error.

use super::wire::Garbled;
use crate::codec::{QoS, RetainHandling, SubscriptionOptions};

pub(super) fn qos(bits: u8) -> Result<QoS, Garbled> {
    match bits & 3 {
        0 => Ok(QoS::AtMostOnce),
        1 => Ok(QoS::AtLeastOnce),
        2 => Ok(QoS::ExactlyOnce),
        _ => Err(Garbled("QoS 3")),
    }
}

pub(super) fn option_byte(options: SubscriptionOptions) -> u8 {
    let retain_handling = match options.retain_handling {
        RetainHandling::Send => 0,
        RetainHandling::SendIfNew => 1,
        RetainHandling::DoNotSend => 2,
    };
    options.qos as u8
        | u8::from(options.no_local) << 2
        | u8::from(options.retain_as_published) << 3
        | retain_handling << 4
}

pub(super) fn options(byte: u8) -> Result<SubscriptionOptions, Garbled> {
    Ok(SubscriptionOptions {
        qos: qos(byte)?,
        no_local: byte & 4 != 0,
        retain_as_published: byte & 8 != 0,
        retain_handling: match byte >> 4 {
            0 => RetainHandling::Send,
            1 => RetainHandling::SendIfNew,
            2 => RetainHandling::DoNotSend,
            _ => return Err(Garbled("unknown subscription options")),
        },
    })
}
