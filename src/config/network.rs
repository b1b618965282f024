//! Networks, as settings name them: `10.0.0.0/8`, `fe80::/10`, or one address.
//!
//! Plain data. Invariant: the bits behind the prefix are zero, and an IPv4 address means the same
//! whether it came alone or mapped into IPv6.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A block of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The lowest address in it.
    pub address: IpAddr,
    /// Leading bits that all addresses in it share: at most 32 (IPv4) or 128.
    pub bits: u8,
}

/// What is wrong with a text that is to be a [`Network`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address stands before the slash.
    #[error("this is no IP address")]
    Address,
    /// No number stands behind the slash, or a larger one than the address has bits.
    #[error("this is no prefix length")]
    Bits,
    /// The address has bits behind the prefix: perhaps the wrong one of the two is meant.
    #[error("the address has bits that its prefix length cuts off")]
    HostBits,
}

impl Network {
    /// Whether `address` is in it. An IPv4 address mapped into IPv6 (`::ffff:1.2.3.4`) is the IPv4
    /// address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (own, other) = (key(self.address), key(address.to_canonical()));
        own.0 == other.0 && cut(own.1, own.0, self.bits) == cut(other.1, own.0, self.bits)
    }
}

/// How many bits the address has, and these as a number.
fn key(address: IpAddr) -> (u8, u128) {
    match address {
        IpAddr::V4(v4) => (32, v4.to_bits().into()),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    }
}

/// The leading `bits` of a number of `of` bits.
fn cut(number: u128, of: u8, bits: u8) -> u128 {
    let gone = u32::from(of.saturating_sub(bits));
    number.checked_shr(gone).unwrap_or(0).checked_shl(gone).unwrap_or(0)
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address)?;
        let (of, number) = key(address);
        let bits = match bits {
            // Not "+8", which `parse` takes.
            Some(bits) if !bits.starts_with('+') => bits.parse().ok().filter(|bits| *bits <= of),
            Some(_) => None,
            None => Some(of),
        };
        let bits = bits.ok_or(NetworkError::Bits)?;
        if cut(number, of, bits) != number {
            return Err(NetworkError::HostBits);
        }
        // ::ffff:0:0/96 and what is in it: asked for are canonical addresses.
        match (address, address.to_canonical(), bits) {
            (IpAddr::V6(_), IpAddr::V4(v4), 96..) => {
                Ok(Self { address: v4.into(), bits: bits - 96 })
            }
            _ => Ok(Self { address, bits }),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

impl From<Ipv4Addr> for Network {
    fn from(address: Ipv4Addr) -> Self {
        Self { address: address.into(), bits: 32 }
    }
}

impl From<Ipv6Addr> for Network {
    fn from(address: Ipv6Addr) -> Self {
        match IpAddr::from(address).to_canonical() {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) => Self { address: v6.into(), bits: 128 },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn addresses_in_networks() {
        let cases = [
            ("10.0.0.0/8", "10.255.1.2", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("10.0.0.0/8", "::10.1.2.3", false),
            ("::ffff:10.0.0.0/104", "10.1.2.3", true),
            ("::ffff:0:0/96", "1.2.3.4", true),
            ("::ffff:0:0/96", "::1", false),
            ("0.0.0.0/0", "255.255.255.255", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false),
            ("192.168.1.1", "192.168.1.1", true),
            ("192.168.1.1", "192.168.1.2", false),
            ("::1", "::1", true),
            ("::1", "127.0.0.1", false),
            ("fe80::/10", "febf::1", true),
            ("fe80::/10", "fec0::1", false),
            ("192.168.1.128/25", "192.168.1.127", false),
            ("128.0.0.0/1", "200.0.0.1", true),
        ];
        for (network, address, inside) in cases {
            let network: Network = network.parse().unwrap();
            assert_eq!(network.contains(address.parse().unwrap()), inside, "{network} {address}");
        }
    }

    #[test]
    fn texts_that_are_none() {
        use NetworkError::{Address, Bits, HostBits};
        let cases = [
            ("", Address),
            ("10.0.0/8", Address),
            ("10.0.0.0.0/8", Address),
            ("localhost", Address),
            ("[::1]", Address),
            ("fe80::1%eth0", Address),
            ("10.0.0.0/", Bits),
            ("10.0.0.0/33", Bits),
            ("10.0.0.0/+8", Bits),
            ("10.0.0.0/-1", Bits),
            ("10.0.0.0/255.0.0.0", Bits),
            ("::/129", Bits),
            ("10.0.0.1/8", HostBits),
            ("fe80::1/10", HostBits),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<Network>(), Err(error), "{text}");
        }
    }

    fn address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<u32>().prop_map(|bits| Ipv4Addr::from_bits(bits).into()),
            any::<u128>().prop_map(|bits| Ipv6Addr::from_bits(bits).into()),
            any::<u32>().prop_map(|v4| Ipv4Addr::from_bits(v4).to_ipv6_mapped().into()),
        ]
    }

    proptest! {
        #[test]
        fn it_is_the_same_written_and_read(address in address(), cut_off in 0_u8..=128) {
            let (of, number) = key(address.to_canonical());
            let bits = of.saturating_sub(cut_off);
            let lowest = cut(number, of, bits);
            let lowest = match of {
                32 => IpAddr::from(Ipv4Addr::from_bits(u32::try_from(lowest).unwrap())),
                _ => IpAddr::from(Ipv6Addr::from_bits(lowest)),
            };
            let network: Network = format!("{lowest}/{bits}").parse().unwrap();
            prop_assert_eq!(network.to_string().parse(), Ok(network));
            prop_assert!(network.contains(address));
            // The bit before the cut turned over: no longer inside.
            if bits > 0 {
                let other = number ^ (1 << (of - bits));
                let other = match of {
                    32 => IpAddr::from(Ipv4Addr::from_bits(u32::try_from(other).unwrap())),
                    _ => IpAddr::from(Ipv6Addr::from_bits(other)),
                };
                prop_assert!(!network.contains(other) || other.to_canonical() != other);
            }
        }
    }
}
