//! The named limits of a shard, and the counters of what it did and what its limits cost.
//!
//! Invariant: everything that grows has a limit here; meeting it is counted here.

use super::input::LinkKey;
use super::safety::Safety;
use super::sends::Sends;

/// A client's share of what is under way is never less.
const SHARE_BYTES_MIN: usize = 4 << 10;

/// What to do when a session's queue is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QueueFull {
    /// The oldest queued message gives way, so that a dead session never stops a publisher.
    #[default]
    DropOldest,
    /// The new message is not queued.
    DropNewest,
    /// The publisher is refused before anybody gets the message (0x97; one of 3.x, which cannot be
    /// told, loses its connection when it has acknowledged what it was sent, or after
    /// `no_room_ms`), from when a session that lasts is full until its queue is below
    /// 7/8 of each limit. Overshoot: the message that fills it; what is under way from other shards
    /// then, up to `peer_bytes_max` and a packet for each of their links, from each; and Wills,
    /// whose publishers cannot be told. Twice that much more than `queued_bytes_max` is the end:
    /// then the new message is dropped. At `queue_bytes_max` a session is full once it has had to
    /// queue something. Sessions that end with their connection drop what is new.
    Refuse,
}

/// The settings that the broker's decisions depend on. Those of the whole process (`*_max` of
/// sessions, subscriptions, ...) are this shard's share.
#[derive(Clone, Debug)]
pub struct Limits {
    /// longest Session Expiry Interval granted, in seconds; `u32::MAX`: sessions may last for ever
    pub session_expiry_max_s: u32,
    /// ceiling of Keep Alive in seconds (Server Keep Alive), 0: none
    pub keep_alive_max_s: u16,
    /// Receive Maximum that clients are told
    pub receive_maximum: u16,
    /// QoS 1 and 2 messages under way to one client
    pub in_flight_max: u16,
    /// Topic Alias Maximum that clients are told
    pub topic_alias_max: u16,
    /// Topic Aliases that the broker uses towards one client
    pub topic_alias_outgoing_max: u16,
    /// largest packet accepted, in bytes; told in CONNACK
    pub packet_bytes_max: usize,
    /// whether retained messages are supported
    pub retain_available: bool,
    /// what is returned as Response Information, empty: nothing
    pub response_information: String,
    /// outgoing bytes waiting on one connection
    pub output_bytes_max: usize,
    /// outgoing bytes waiting on all connections: who does not take what waits gets no more
    pub output_total_bytes_max: usize,
    /// messages queued for one session
    pub queued_messages_max: usize,
    /// bytes queued for one session
    pub queued_bytes_max: usize,
    /// bytes of all queues
    pub queue_bytes_max: usize,
    /// what happens at those three
    pub queue_full: QueueFull,
    /// whether QoS 0 messages are queued for offline sessions
    pub queue_qos0: bool,
    /// subscriptions of one session
    pub subscriptions_per_session_max: usize,
    /// levels of a Topic Filter
    pub filter_levels_max: usize,
    /// Topic Filters in one SUBSCRIBE or UNSUBSCRIBE: for who decodes them
    pub filters_per_packet_max: usize,
    /// sessions
    pub sessions_max: usize,
    /// subscriptions
    pub subscriptions_max: usize,
    /// bytes of the Topic Filters of subscriptions
    pub subscription_bytes_max: usize,
    /// Wills kept
    pub wills_max: usize,
    /// bytes of Wills kept
    pub will_bytes_max: usize,
    /// bytes under way to one other shard before the links that cause them are not read
    pub peer_bytes_max: usize,
    /// bytes of the match cache
    pub match_cache_bytes_max: usize,
    /// bytes of a persistent session's queue that are kept in memory, 0: all. What comes beyond is
    /// on the log alone, and read back when its turn is near
    pub queue_memory_bytes: usize,
    /// bytes of all queues in memory together. Beyond it, queues that the log has leave memory, and
    /// of the others messages are dropped by `queue_full`
    pub queue_memory_total_bytes: usize,
    /// per session: bytes of messages under way to the client, above which further ones wait; and
    /// of those that wait in a queue that the log does not have, which is full then
    pub session_memory_bytes_max: usize,
    /// bytes of messages under way to all clients: while there are so many, a client that has its
    /// equal share of them, or 4 KiB, gets no more before it acknowledges
    pub session_memory_total_bytes: usize,
    /// bytes of records that are not committed before the links whose PUBLISHes cause them are not
    /// read; what is under way from other shards (`peer_bytes_max` each) still comes
    pub uncommitted_bytes_max: usize,
    /// how safe a PUBLISH is before it is acknowledged, where nothing else says so
    pub safety: Safety,
    /// of topics that match a Topic Filter, the first that does; goes before the link's
    pub topic_safety: Vec<(Box<str>, Safety)>,
    /// what Packet Identifiers towards receivers wait for at QoS 2: the safest that anything is
    /// published with, see `Broker::put_in_flight`
    pub identifier_safety: Safety,
    /// how long the link of a 3.x client lasts whose PUBLISH is not taken, because the store has no
    /// room or a queue refuses; a reload counts for those that wait from then on
    pub no_room_ms: u64,
    /// whether a user may take over the session of another one, or of an anonymous client, or that
    /// one a user's
    pub takeover_by_other_users: bool,
    /// for how long what the hook said of a topic counts
    pub hook_cache_ms: u64,
}

impl Limits {
    /// Whether another message may wait for the link's client to read it.
    pub(super) fn lets_out(&self, sends: &Sends, link: LinkKey) -> bool {
        sends.has_room(link, self.output_bytes_max, self.output_total_bytes_max)
    }

    /// Whether another message may be under way to a client, with `own_bytes` that are already.
    /// While all together take as much as they may, each has an equal share.
    pub(super) fn lets_under_way(&self, own_bytes: usize, counters: &Counters) -> bool {
        let all_bytes = self.session_memory_total_bytes;
        own_bytes < self.session_memory_bytes_max
            && (counters.in_flight_bytes < all_bytes as u64 || {
                let share = all_bytes / counters.links.max(1) as usize;
                own_bytes < share.max(SHARE_BYTES_MIN)
            })
    }

    /// How many bytes more may be under way to a client by the same limits: 0 where
    /// [`Limits::lets_under_way`] lets nothing, and 1, which one message takes, where all together
    /// have as much as they may and the client is below its share.
    pub(super) fn room_under_way(&self, own_bytes: usize, counters: &Counters) -> usize {
        if !self.lets_under_way(own_bytes, counters) {
            return 0;
        }
        let left =
            (self.session_memory_total_bytes as u64).saturating_sub(counters.in_flight_bytes);
        let own_left = self.session_memory_bytes_max - own_bytes;
        own_left.min(usize::try_from(left).unwrap_or(usize::MAX)).max(1)
    }

    /// Whether queues that the log has are bounded in memory.
    pub(super) fn queues_leave_memory(&self) -> bool {
        self.queue_memory_bytes > 0 || self.queue_memory_total_bytes < usize::MAX
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            session_expiry_max_s: 604_800,
            keep_alive_max_s: 0,
            receive_maximum: 1024,
            in_flight_max: 1024,
            topic_alias_max: 64,
            topic_alias_outgoing_max: 16,
            packet_bytes_max: 17 << 20,
            retain_available: true,
            response_information: String::new(),
            output_bytes_max: 1 << 20,
            output_total_bytes_max: 256 << 20,
            queued_messages_max: 100_000,
            queued_bytes_max: 64 << 20,
            queue_bytes_max: 1 << 30,
            queue_full: QueueFull::DropOldest,
            queue_qos0: false,
            subscriptions_per_session_max: 1_000_000,
            filter_levels_max: 256,
            filters_per_packet_max: 10_000,
            sessions_max: 1_000_000,
            subscriptions_max: 10_000_000,
            subscription_bytes_max: 1 << 30,
            wills_max: 1_000_000,
            will_bytes_max: 256 << 20,
            peer_bytes_max: 64 << 20,
            match_cache_bytes_max: 8 << 20,
            queue_memory_bytes: 0,
            queue_memory_total_bytes: usize::MAX,
            session_memory_bytes_max: 64 << 20,
            session_memory_total_bytes: 256 << 20,
            uncommitted_bytes_max: 64 << 20,
            safety: Safety::default(),
            topic_safety: Vec::new(),
            identifier_safety: Safety::default(),
            no_room_ms: 20_000,
            takeover_by_other_users: false,
            hook_cache_ms: 60_000,
        }
    }
}

/// Counts since the shard's start, except where a field says that it is a present value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// present: links
    pub links: u64,
    /// present: sessions
    pub sessions: u64,
    /// present: subscriptions
    pub subscriptions: u64,
    /// present: Wills kept
    pub wills: u64,
    /// present: bytes of Wills kept
    pub will_bytes: u64,
    /// present: messages in queues
    pub queued_messages: u64,
    /// present: bytes in queues
    pub queued_bytes: u64,
    /// present: messages under way to clients and not acknowledged
    pub in_flight: u64,
    /// present: bytes of those messages
    pub in_flight_bytes: u64,
    /// present: bytes of Topic Filters of subscriptions
    pub subscription_bytes: u64,
    /// CONNECTs accepted
    pub connects: u64,
    /// sessions that ended by expiry
    pub sessions_expired: u64,
    /// PUBLISH packets received
    pub publish_received: u64,
    /// PUBLISH packets sent
    pub publish_sent: u64,
    /// bytes of payload received in PUBLISH packets
    pub publish_bytes_received: u64,
    /// bytes of payload sent in PUBLISH packets
    pub publish_bytes_sent: u64,
    /// packets received
    pub packets_received: u64,
    /// packets sent
    pub packets_sent: u64,
    /// Wills published
    pub wills_published: u64,
    /// QoS 0 messages dropped at `output_bytes_max`
    pub dropped_qos0: u64,
    /// QoS 0 messages dropped at `output_total_bytes_max`
    pub dropped_qos0_total: u64,
    /// QoS 0 messages for sessions whose client was away
    pub dropped_qos0_offline: u64,
    /// QoS 0 messages dropped at `peer_bytes_max`
    pub dropped_peer_qos0: u64,
    /// messages dropped at a queue limit
    pub dropped_queue_full: u64,
    /// messages dropped because they had expired
    pub dropped_expired: u64,
    /// messages not sent because the client's Maximum Packet Size is smaller
    pub dropped_too_large: u64,
    /// shared messages that found no member
    pub dropped_no_member: u64,
    /// messages published to `$SYS` by clients
    pub dropped_dollar_sys: u64,
    /// retained messages refused at `retained_*_max`
    pub refused_retained: u64,
    /// CONNECTs refused at `sessions_max` or the limits of Wills
    pub refused_connects: u64,
    /// subscriptions refused at a limit
    pub refused_subscriptions: u64,
    /// connections closed at `filters_per_packet_max`
    pub closed_filters: u64,
    /// refusals (0x80 and above) that clients answered a PUBLISH with
    pub refused_by_clients: u64,
    /// inputs that named something that is gone
    pub stale_inputs: u64,
    /// links that were not read for a while because of `peer_bytes_max`
    pub paused_links: u64,
    /// present: messages in queues that are on the log alone
    pub queued_unread: u64,
    /// present: bytes of those
    pub queued_unread_bytes: u64,
    /// portions of queues that were read back
    pub loads: u64,
    /// queued messages that the log could not give back
    pub dropped_unreadable: u64,
    /// QoS 0 messages that would have had to wait in a queue at `queue_memory_bytes` or
    /// `queue_memory_total_bytes`
    pub dropped_qos0_queue: u64,
    /// what was refused, not kept or not taken for now because the store had no room
    pub refused_no_room: u64,
    /// links that were not read for a while because of `uncommitted_bytes_max`
    pub paused_uncommitted: u64,
    /// PUBLISHes refused at a queue limit, those of 3.x clients with their links
    pub refused_queue_full: u64,
    /// links that ended after `no_room_ms`
    pub closed_no_room: u64,
    /// PUBLISHes and Wills that their publisher may not publish
    pub dropped_not_authorized: u64,
    /// queued messages that their receiver may no longer receive
    pub dropped_not_receivable: u64,
    /// CONNECTs refused for another user's session or a Will, and subscriptions, that are not
    /// allowed
    pub refused_not_authorized: u64,
    /// questions asked of the hook or of an Authentication Method
    pub asked: u64,
    /// links that ended with what they were let in with
    pub closed_at_end: u64,
    /// PUBLISHes over a quota that were dropped or refused
    pub dropped_quota: u64,
    /// links that were not read for a while because of a quota
    pub throttled: u64,
    /// links that ended because of a quota
    pub closed_quota: u64,
}

macro_rules! add_fields {
    ($($field:ident)*) => {
        impl Counters {
            /// Adds another shard's counts to these.
            pub fn add(&mut self, other: &Self) {
                let Self { $($field),* } = other; // all of them, or this does not compile
                $(self.$field += $field;)*
            }
        }
    };
}
add_fields! {
    links sessions subscriptions wills will_bytes queued_messages queued_bytes
    in_flight in_flight_bytes subscription_bytes connects sessions_expired
    publish_received publish_sent publish_bytes_received publish_bytes_sent
    packets_received packets_sent wills_published dropped_qos0 dropped_qos0_total
    dropped_qos0_offline dropped_peer_qos0 dropped_queue_full dropped_expired
    dropped_too_large dropped_no_member
    dropped_dollar_sys refused_retained refused_connects refused_subscriptions
    closed_filters refused_by_clients stale_inputs paused_links refused_no_room
    paused_uncommitted
    queued_unread queued_unread_bytes loads dropped_unreadable dropped_qos0_queue
    refused_queue_full closed_no_room
    dropped_not_authorized dropped_not_receivable refused_not_authorized asked closed_at_end
    dropped_quota throttled closed_quota
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_shared_once_it_is_much() {
        let limits = Limits {
            session_memory_bytes_max: 50_000,
            session_memory_total_bytes: 100_000,
            ..Limits::default()
        };
        let lets = |own, all, links| {
            let counters = Counters { in_flight_bytes: all, links, ..Counters::default() };
            limits.lets_under_way(own, &counters)
        };
        assert!(lets(49_999, 99_999, 10) && !lets(50_000, 50_000, 1), "its own bound");
        assert!(lets(9_999, 100_000, 10) && !lets(10_000, 100_000, 10), "a tenth");
        assert!(lets(4_095, 200_000, 1000) && !lets(4_096, 200_000, 1000), "never less");
        assert!(lets(0, u64::MAX, 0));
        let room = |own, all| {
            let counters = Counters { in_flight_bytes: all, links: 10, ..Counters::default() };
            limits.room_under_way(own, &counters)
        };
        assert_eq!([room(0, 0), room(49_000, 49_000), room(50_000, 50_000)], [50_000, 1_000, 0]);
        assert_eq!([room(9_000, 99_900), room(9_999, 100_000), room(10_000, 100_000)], [100, 1, 0]);
    }
}
