//! Whose a session is, what clients may do, what is asked, and quotas.

use super::script::{Row, row, run};

pub(crate) const ROWS: &[Row] = &[
    // Whose a session is.
    row(
        "another user's CONNECT takes nothing over, and ends nothing",
        "a is ada; b is bob; a joins v5 expiry=9; b> connect v5 id=a clean; b< connack 87
         b! closed 87; a> pingreq; a< pingresp; count refused_not_authorized 1; count sessions 1",
    ),
    row(
        "nor does it while the session's client is away",
        "a is ada; b is bob; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; a cut
         b> connect v5 id=a; b< connack 87; b! closed 87; p joins v5; p> publish t x q1#1
         p< puback 1; a resumes v5; a< publish t x q1#1",
    ),
    row(
        "an anonymous client takes over no user's session, nor a user an anonymous client's",
        "a is ada; a joins v5 expiry=9; b> connect v5 id=a; b< connack 87; b! closed 87
         c joins v5 expiry=9; d is ada; d> connect v5 id=c; d< connack 87; d! closed 87
         e> connect v5 id=c; c< disconnect 8e; c! closed; e< connack sp",
    ),
    row(
        "[MQTT-3.1.4-3] the same user does",
        "a is ada; b is ada; a joins v5 expiry=9; b> connect v5 id=a; a< disconnect 8e; a! closed 8e
         b< connack sp",
    ),
    row(
        "where it is allowed, everybody does",
        "limits takeover=1; a is ada; b is bob; a joins v5 expiry=9; b> connect v5 id=a expiry=9
         a< disconnect 8e; a! closed 8e; b< connack sp; limits takeover=0; b cut
         a> connect v5; a< connack 87; a! closed 87",
    ),
    row(
        "[MQTT-4.1.0-2] a session that has ended is nobody's",
        "a is ada; b is bob; a joins v5 expiry=9; a cut; wait 8s; b> connect v5 id=a; b< connack 87
         b! closed 87; wait 1s; b> connect v5 id=a; b< connack",
    ),
    row(
        "whose it is outlives a restart",
        "a is ada; b is bob; a joins v5 expiry=9; a> subscribe 1 t 1; a< suback 1 01; restart
         b> connect v5 id=a; b< connack 87; b! closed 87; b> connect v5; b< connack
         b> publish t x q1#1; b< puback 1; a resumes v5 expiry=9; a< publish t x q1#1; restart
         c> connect v5 id=a; c< connack 87; c! closed 87",
    ),
    // Publishing.
    row(
        "[MQTT-4.3.2-4] a PUBLISH that is not allowed reaches nobody, and is acknowledged with 0x87",
        "acl topic read # / user ada / topic write t; a is ada; s joins v5; s> subscribe 1 # 2
         s< suback 1 02; a joins v5; a> publish u x q1#1; a< puback 1 87; a> publish u x q2#1
         a< pubrec 1 87; a> publish u x; a> publish t y q1#1; a< puback 1; s< publish t y q1#1
         count dropped_not_authorized 3",
    ),
    row(
        "[3.1.1 MQTT-3.3.5-2] to a 3.x client it is acknowledged as any other",
        "acl topic read # / user ada / topic write t; a is ada; s joins v5; s> subscribe 1 # 2
         s< suback 1 02; a joins v34; a> publish u x q1#1; a< puback 1; a> publish u x q2#1
         a< pubrec 1; a> pubrel 1; a< pubcomp 1; a> publish u x; count dropped_not_authorized 3",
    ),
    row(
        "what may not be published is not retained, and clears nothing",
        "acl topic t / topic read # / topic deny u; p joins v5; p> publish u x q1#1 retain
         p< puback 1 87; p> publish t x q1#1 retain; p< puback 1 10; acl topic read #
         p> publish t '' q1#1 retain; p< puback 1 87; s joins v5; s> subscribe 1 # 0
         s< suback 1 00; s< publish t x retain",
    ),
    row(
        "a verdict is one client's: those of other users on the same topic are their own",
        "acl topic read # / user ada / topic t / user bob / topic u; a is ada; b is bob; a joins v5
         b joins v5; a> publish t x q1#1; a< puback 1 10; b> publish t x q1#1; b< puback 1 87
         a> publish t x q1#2; a< puback 2 10; b> publish u x q1#2; b< puback 2 10
         a> publish u x q1#3; a< puback 3 87",
    ),
    row(
        "[MQTT-3.3.2-9] under a Topic Alias likewise",
        "acl topic write t; a joins v5; a> publish u x q1#1 alias=1; a< puback 1 87
         a> publish '' x q1#2 alias=1; a< puback 2 87; a> publish t x q1#3 alias=1; a< puback 3 10
         a> publish '' x q1#4 alias=1; a< puback 4 10",
    ),
    row(
        "a refused PUBLISH counts against Receive Maximum until it is acknowledged, no longer",
        "limits receive_maximum=2; acl topic write t; a joins v5
         a> publish u x q1#1 + publish u x q2#2; a< puback 1 87; a< pubrec 2 87
         a> publish t x q2#3 + publish t x q2#4; a< pubrec 3 10; a< pubrec 4 10",
    ),
    // Receiving.
    row(
        "SUBSCRIBE is granted with mosquitto's rules, and each delivery is looked at",
        "acl user ada / topic read t/# / topic deny t/secret / user bob / topic #; a is ada
         p is bob; a joins v*; a> subscribe 1 # 0; a< suback 1 00; p joins v5; p> publish t/x 1
         a< publish t/x 1; p> publish u 2; p> publish t/secret 3; p> publish t/y 4
         a< publish t/y 4",
    ),
    row(
        "who may not receive does not count as a subscriber",
        "shards 1; acl user ada / topic read t / user bob / topic #; a is ada; p is bob
         a joins v5; a> subscribe 1 # 1; a< suback 1 01; p joins v5; p> publish u x q1#1
         p< puback 1 10; p> publish t x q1#2; p< puback 2; a< publish t x q1#1",
    ),
    row(
        "on another shard it is looked at where the receiver is",
        "shards 3; a at 0; p at 1; acl user ada / topic read t / user bob / topic #; a is ada
         p is bob; a joins v5 expiry=9; a> subscribe 1 # 2; a< suback 1 02; p joins v5 expiry=9
         p> publish u x q2#1; p< pubrec 1; p> pubrel 1; p< pubcomp 1; p> publish t x q1#2
         p< puback 2; a< publish t x q1#1",
    ),
    row(
        "[MQTT-4.8.2-4] a member of a group that may not receive it leaves it to another one",
        "shards 3; a at 0; b at 1; p at 2; acl topic # / user ada / topic deny u / topic read #
         a is ada; a joins v5; b joins v5; p joins v5; a> subscribe 1 $share/g/# 1; a< suback 1 01
         b> subscribe 1 $share/g/# 1; b< suback 1 01; p> publish u 1 q1#1; p< puback 1
         b< publish u 1 q1#1; b> puback 1; p> publish u 2 q1#2; p< puback 2; b< publish u 2 q1#2
         b> puback 2; b cut; p> publish u 3 q1#3; p< puback 3; count dropped_no_member 1",
    ),
    row(
        "[MQTT-3.3.1-9] retained messages one by one",
        "acl topic # / user ada / topic deny t/b / topic read t/#; a is ada; p joins v5
         p> publish t/a 1 retain + publish t/b 2 retain + publish t/c 3 retain + publish u 4 retain
         a joins v5; a> subscribe 1 # 0; a< suback 1 00; a< publish t/a 1 retain
         a< publish t/c 3 retain",
    ),
    row(
        "a message to oneself, too",
        "acl topic write t; a joins v5; a> subscribe 1 # 0; a< suback 1 00; a> publish t x q1#1
         a< puback 1 10",
    ),
    row(
        "the broker's own messages, too",
        "acl topic read t / user ada / topic read $SYS/#; a is ada; a joins v5; b joins v5
         a> subscribe 1 $SYS/# 0; a< suback 1 00; b> subscribe 1 $SYS/# 0; b< suback 1 00
         broker> publish $SYS/x 1; a< publish $SYS/x 1",
    ),
    // SUBSCRIBE.
    row(
        "[MQTT-3.8.4-6] a filter that is not granted: 0x87, the others as ever",
        "a is ada subscribe=t/#; p is bob publish=# subscribe=#; a joins v5; p joins v5
         a> subscribe 1 t/a 1 u 1 # 0; a< suback 1 01 87 87; p> publish t/a 1 + publish u 2
         a< publish t/a 1; count refused_not_authorized 2; count subscriptions 1",
    ),
    row(
        "[3.1.1 MQTT-3.9.3-2] 0x80 in 3.1.1; 3.1 has no failure code: it is granted and nothing comes",
        "a is ada subscribe=t/#; b is ada subscribe=t/#; a joins v4; b joins v3
         a> subscribe 1 u 1; a< suback 1 80; b> subscribe 1 u 1; b< suback 1 00
         p joins v5; p> publish u 2",
    ),
    row(
        "[MQTT-4.8.2-1] of a Shared Subscription the filter counts",
        "a is ada subscribe=t/#; a joins v5; a> subscribe 1 $share/g/t/a 1 $share/g/u 1
         a< suback 1 01 87",
    ),
    row(
        "what is delivered is what is granted, whatever the filter",
        "acl toml [[rule]] / subscribe = [\"#\"] / deny_subscribe = [\"t/b\"]; a joins v5
         a> subscribe 1 t/+ 0 t/b 0; a< suback 1 00 87; broker> publish t/a 1; a< publish t/a 1
         broker> publish t/b 2",
    ),
    // Other rules while it runs.
    row(
        "new rules hold at once, for what is known already, too",
        "p joins v5; a is ada; a joins v5; a> subscribe 1 # 0; a< suback 1 00; p> publish t 1
         a< publish t 1; acl topic # / user ada / topic read u; p> publish t 2 + publish u 3
         a< publish u 3; a> publish v x q1#1; a< puback 1 87; acl; p> publish t 4; a< publish t 4
         a> publish v x q1#2; a<* puback 2 | publish v x",
    ),
    row(
        "what waits for a client is looked at when its rights have changed meanwhile",
        "a is ada; a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1; p< puback 1; p> publish u 2 q1#2; p< puback 2
         acl topic # / user ada / topic read u; p> publish t 3 q1#3; p gets 1 puback
         p> publish u 4 q1#4; p< puback 4; a resumes v5 expiry=9; a< publish u 2 q1#1
         a< publish u 4 q1#2; count dropped_not_receivable 1",
    ),
    row(
        "[MQTT-4.4.0-1] what was under way at QoS 1 is sent again only if it may be",
        "a is ada; a joins v5 expiry=9; a> subscribe 1 # 2; a< suback 1 02; p joins v5
         p> publish t 1 q1#1; p< puback 1; a< publish t 1 q1#1; p> publish u 2 q1#2; p< puback 2
         a< publish u 2 q1#2; a cut; acl topic # / user ada / topic read u
         a resumes v5 expiry=9; a< publish u 2 q1#2 dup; count dropped_not_receivable 1",
    ),
    row(
        "a client that comes back with other grants gets what they allow",
        "a is ada subscribe=#; a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01; a cut
         p joins v5; p> publish t 1 q1#1; p< puback 1; p> publish u 2 q1#2; p< puback 2
         a is ada subscribe=u; a resumes v5 expiry=9; a< publish u 2 q1#1; p> publish t 3
         p> publish u 4; a< publish u 4",
    ),
    row(
        "rules that changed over a restart",
        "a is ada; a joins v5 expiry=9; a> subscribe 1 # 1; a< suback 1 01; a cut; p joins v5
         p> publish t 1 q1#1; p< puback 1; p> publish u 2 q1#2; p< puback 2; p cut
         acl topic # / user ada / topic read u; restart; p joins v5; p> publish t 3 q1#1
         p gets 1 puback; p> publish u 4 q1#2; p< puback 2; a resumes v5 expiry=9
         a< publish u 2 q1#1; a< publish u 4 q1#2",
    ),
    row(
        "what a token granted is not known after a restart: all is kept, and looked at later",
        "acl topic write #; a is ada subscribe=t; a joins v5 expiry=9; a> subscribe 1 t 1
         a< suback 1 01; restart; p joins v5; p> publish t 1 q1#1; p< puback 1
         a is ada subscribe=u; a resumes v5 expiry=9; count dropped_not_receivable 1; a cut
         a is ada subscribe=t; a resumes v5 expiry=9; restart; p joins v5; p> publish t 2 q1#1
         p< puback 1; a resumes v5 expiry=9; a< publish t 2 q1#1",
    ),
    // Wills.
    row(
        "a Will that may not be published is refused with the CONNECT",
        "acl topic write t; a> connect v5 will=u:x; a< connack 87; a! closed 87
         count sessions 0; b joins v5 will=t:x; count wills 1; count refused_not_authorized 1",
    ),
    row(
        "[MQTT-3.1.2-8] one that may no longer be published is not",
        "a joins v5 will=t:x; s joins v5; s> subscribe 1 # 0; s< suback 1 00
         acl topic read #; a cut; count wills 0; count wills_published 0
         count dropped_not_authorized 1",
    ),
    // Questions.
    row(
        "what no rule settles is asked; what comes behind it waits",
        "a is ada asking; s is bob publish=# subscribe=#; s joins v5; s> subscribe 1 # 1
         s< suback 1 01; a joins v5; a> publish t 1 q1#1 + publish t 2 + pingreq
         a asks publish t; count publish_received 0; a hears yes; a< puback 1; a< pingresp
         s< publish t 1 q1#1; s< publish t 2; count asked 1; count packets_received 4",
    ),
    row(
        "what is answered no is refused, and not asked again for a while",
        "limits hook_cache_ms=5000; a is ada asking; a joins v5; a> publish t 1 q2#1
         a asks publish t; a hears no; a< pubrec 1 87; a> publish t 2 q1#2; a< puback 2 87
         wait 5s; a> publish t 3 q1#3; a asks publish t; a hears yes; a< puback 3 10
         count asked 2",
    ),
    row(
        "an answer is for one topic, and for publishing or subscribing",
        "a is ada asking; a joins v5; a> publish t 1 q1#1; a asks publish t; a hears yes
         a< puback 1 10; a> publish u 1 q1#2; a asks publish u; a hears no; a< puback 2 87
         a> subscribe 1 t 0; a asks subscribe t; a hears no; a< suback 1 87",
    ),
    row(
        "of a SUBSCRIBE each filter is asked, one after the other, though nothing is remembered",
        "limits hook_cache_ms=0; a is ada asking; a joins v5
         a> subscribe 1 t 0 $share/g/u 1 v 2 + pingreq; a asks subscribe t; a hears yes
         a asks subscribe u; a hears no; a asks subscribe v; a hears failed
         a<* suback 1 00 87 87 | pingresp; count asked 3; count packets_received 2
         a> subscribe 2 t 0; a asks subscribe t; a hears yes; a< suback 2 00",
    ),
    row(
        "an answer for another packet that grows too old meanwhile is asked for again, no other",
        "limits hook_cache_ms=5000; a is ada asking; a joins v5
         a> subscribe 1 t 0; a asks subscribe t; a hears yes; a< suback 1 00; wait 4s
         a> subscribe 2 s 0 t 0 u 0 v 0; a asks subscribe s; a hears yes; a asks subscribe u
         wait 2s; a hears yes; a asks subscribe t; wait 9s; a hears no; a asks subscribe v
         a hears yes; a< suback 2 00 87 00 00; count asked 5",
    ),
    row(
        "a client that asks is not heard, so its Keep Alive rests",
        "a is ada asking; a joins v5 ka=10; a> publish t 1 q1#1; a asks publish t; wait 60s
         a hears yes; a< puback 1 10; wait 16s; a< disconnect 8d; a! closed 8d",
    ),
    row(
        "an answer that comes too late finds nobody",
        "a is ada asking; a joins v5 expiry=9; a> publish t 1 q1#1; a asks publish t; a cut
         a resumes v5; a> publish t 1 q1#1 dup; a asks publish t; a hears yes; a< puback 1 10",
    ),
    row(
        "a Will is asked for when its client is in; until then it goes nowhere",
        "s is bob subscribe=#; s joins v5; s> subscribe 1 # 0; s< suback 1 00; a is ada asking
         a> connect v5 will=t:x + pingreq; a< connack; a asks publish t; a hears yes
         a< pingresp; a cut; s< publish t x; a joins v5 will=t:x; a asks publish t; a hears no
         a< disconnect 87; a! closed 87; a joins v5 will=t:x; a asks publish t; a cut
         count wills 0; count wills_published 1",
    ),
    // Time.
    row(
        "a client is ended when what it was let in with ends",
        "a is ada ends=10s; a joins v5; wait 9s; a> pingreq; a< pingresp; wait 1s
         a< disconnect 87 reason=*; a! closed 87; a joins v4; wait 10s; a! closed 87
         count closed_at_end 2",
    ),
    // Quotas.
    row(
        "over its quota a client is read later; nothing is lost and the order is kept",
        "quota users=ada rate=2; a is ada; s joins v5; s> subscribe 1 # 0; s< suback 1 00
         a joins v*; a> publish t 1 + publish t 2 + publish t 3 q1#1 + publish t 4 + pingreq
         s< publish t 1; s< publish t 2; wait 499ms; wait 1ms; a< puback 1; s< publish t 3
         wait 500ms; s< publish t 4; a< pingresp; count throttled 2; count packets_received 6",
    ),
    row(
        "a client that is throttled is not heard, so its Keep Alive rests; others go on",
        "quota users=ada bytes=1; a is ada; a joins v5 ka=1; b joins v5; a> publish t 12345 q1#1
         a< puback 1 10; a> publish t 12345 q1#2; wait 5s; b> publish t x q1#1; b< puback 1 10
         wait 1s; a< puback 2 10",
    ),
    row(
        "or what is over it is dropped at QoS 0, else refused",
        "quota users=ada rate=2 excess=drop; a is ada; s joins v5; s> subscribe 1 # 0
         s< suback 1 00; a joins v5; a> publish t 1 + publish t 2 q1#1 + publish t 3
         a< puback 1; s< publish t 1; s< publish t 2; a> publish t 4 q1#2; a< puback 2 97
         a> publish t 5 q2#2; a< pubrec 2 97; count dropped_quota 3; wait 1s
         a> publish t 6 q2#2; a< pubrec 2; s< publish t 6",
    ),
    row(
        "a 3.x client is not told: what is over it is acknowledged",
        "quota users=ada rate=1 excess=drop; a is ada; s joins v5; s> subscribe 1 # 0
         s< suback 1 00; a joins v34; a> publish t 1 q1#1 + publish t 2 q1#2; a< puback 1
         a< puback 2; s< publish t 1; count dropped_quota 1",
    ),
    row(
        "or the client is disconnected",
        "quota users=ada rate=1 excess=disconnect; a is ada; a joins v5; a> publish t 1
         a> publish t 2; a< disconnect 96; a! closed 96; b joins v5; b> publish t 1 + publish t 2
         count closed_quota 1",
    ),
    row(
        "who comes back has no more to spend than before",
        "quota users=ada rate=1 excess=drop; a is ada; a joins v5 expiry=9; a> publish t 1 q1#1
         a< puback 1 10; a cut; a resumes v5; a> publish t 1 q1#1; a< puback 1 97",
    ),
    row(
        "what is not allowed counts, too",
        "quota ids=* rate=1 excess=drop; acl topic write t; a joins v5; a> publish u 1 q1#1
         a< puback 1 87; a> publish t 1 q1#1; a< puback 1 97",
    ),
    row(
        "subscriptions of a session",
        "quota users=ada subscriptions=1; a is ada; a joins v5; a> subscribe 1 t 0 u 0 t 1
         a< suback 1 00 97 01; count refused_subscriptions 1",
    ),
    row(
        "retained messages of a client, on all shards together",
        "shards 3; quota users=ada retained=2; a is ada; a joins v5; b joins v5
         b> publish t/0 x q1#1 retain; b< puback 1 10; a> publish t/1 x q1#1 retain
         a< puback 1 10; a> publish t/2 x q1#2 retain; a< puback 2 10
         a> publish t/3 x q1#3 retain; a< puback 3 97; a> publish t/1 y q1#4 retain
         a< puback 4 10; a> publish t/0 y q1#5 retain; a< puback 5 97
         a> publish t/1 '' q1#6 retain; a< puback 6 10; a> publish t/0 y q1#7 retain
         a< puback 7 10; b> publish t/2 z q1#8 retain; b< puback 8 10
         a> publish t/3 x q1#9 retain; a< puback 9 10; count refused_retained 2",
    ),
    row(
        "bytes that wait for a session",
        "quota users=ada queued=600; a is ada; b is bob; a joins v5 expiry=9; b joins v5 expiry=9
         a> subscribe 1 t 1; a< suback 1 01; b> subscribe 1 t 1; b< suback 1 01; a cut; b cut
         p joins v5; p> publish t x*300 q1#1; p< puback 1; p> publish t y*300 q1#2; p< puback 2
         count queued_messages 3; count dropped_queue_full 1; a resumes v5
         a< publish t y*300 q1#1",
    ),
    row(
        "a new quota holds at once",
        "a is ada; a joins v5; quota users=ada rate=1 excess=drop; a> publish t 1 q1#1
         a< puback 1 10; a> publish t 1 q1#2; a< puback 2 97; quota; a> publish t 1 q1#3
         a< puback 3 10",
    ),
];

/// Of a SUBSCRIBE with many filters no answer is kept but the last ones, and none is asked for
/// twice; when the rules change on the way, all of them are.
#[test]
fn a_subscribe_of_many_filters() {
    const FILTERS: usize = 100;
    let filters: String = (0..FILTERS).map(|n| format!(" f{n} 0")).collect();
    let hears = |n: usize| if n.is_multiple_of(3) { "no" } else { "yes" };
    let asked = |range: std::ops::Range<usize>| -> String {
        range.map(|n| format!("; a asks subscribe f{n}; a hears {}", hears(n))).collect()
    };
    let codes: String =
        (0..FILTERS).map(|n| if n.is_multiple_of(3) { " 87" } else { " 00" }).collect();
    let start = format!(
        "limits hook_cache_ms=0; a is ada asking; a joins v5; a> subscribe 1{filters} + pingreq"
    );
    let end = format!("; a<* suback 1{codes} | pingresp; count packets_received 2");
    let whole = format!("{start}{}{end}; count asked {FILTERS}", asked(0..FILTERS));
    let anew = format!(
        "{start}{}; acl user ada / topic write t; a hears no; a asks subscribe f0; a hears no{}{end}",
        asked(0..50) + "; a asks subscribe f50",
        asked(1..FILTERS)
    );
    for script in [whole, anew] {
        let script: &'static str = Box::leak(script.into_boxed_str());
        run(&[row("a SUBSCRIBE of many filters", script)]);
    }
}
