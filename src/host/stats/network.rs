//! What the network interfaces moved: `/proc/net/dev`.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::roster::Roster;
use super::round2;

/// The most interfaces that are listed; a machine that runs containers has dozens.
const MAX_INTERFACES: usize = 256;

/// Counters of the interfaces (spec api.md §5, `network` of `machine.proc_stats`), by name.
#[derive(Debug, Default)]
pub struct NetworkUsage {
    interfaces: Roster<Counters>,
}

/// Counters since the interface was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[allow(missing_docs)]
pub struct Counters {
    pub rx_bytes: u64,
    pub tx_bytes: u64,
    pub rx_packets: u64,
    pub tx_packets: u64,
    pub rx_errs: u64,
    pub tx_errs: u64,
    pub rx_drop: u64,
    pub tx_drop: u64,
    /// Bytes per second in both directions since the sample before.
    pub bandwidth: f64,
}

impl NetworkUsage {
    /// Names and counters, in the kernel's order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Counters)> {
        self.interfaces.iter()
    }

    pub(super) fn clear(&mut self) {
        self.interfaces.clear();
    }

    /// Takes the text of `/proc/net/dev`, so long after the one before.
    pub(super) fn update(&mut self, text: &[u8], elapsed: Option<Duration>) {
        self.interfaces.begin();
        for (name, counters) in text.split(|b| *b == b'\n').filter_map(parse) {
            let update = |known: &mut Counters| {
                let bandwidth = counters.bandwidth_since(known, elapsed);
                *known = Counters { bandwidth, ..counters };
            };
            self.interfaces.see(name, MAX_INTERFACES, update, || counters);
        }
        self.interfaces.end();
    }
}

impl Counters {
    fn bandwidth_since(&self, before: &Self, elapsed: Option<Duration>) -> f64 {
        let seconds = elapsed.unwrap_or_default().as_secs_f64();
        // An interface that was made anew begins at 0.
        let received = self.rx_bytes.saturating_sub(before.rx_bytes);
        let sent = self.tx_bytes.saturating_sub(before.tx_bytes);
        if seconds > 0.0 { round2((received as f64 + sent as f64) / seconds) } else { 0.0 }
    }
}

/// A line `name: 16 numbers`; the two lines of headings have no colon or no numbers.
fn parse(line: &[u8]) -> Option<(&str, Counters)> {
    // A name may hold a colon (an alias); the numbers do not.
    let (name, numbers) = std::str::from_utf8(line).ok()?.rsplit_once(':')?;
    let mut values = [0u64; 12];
    let mut words = numbers.split_ascii_whitespace();
    for value in &mut values {
        *value = words.next()?.parse().ok()?;
    }
    let [rx_bytes, rx_packets, rx_errs, rx_drop, _, _, _, _, tx_bytes, tx_packets, tx_errs, tx_drop] = values;
    let bandwidth = 0.0;
    let counters = Counters {
        rx_bytes,
        tx_bytes,
        rx_packets,
        tx_packets,
        rx_errs,
        tx_errs,
        rx_drop,
        tx_drop,
        bandwidth,
    };
    Some((name.trim_ascii(), counters))
}

impl Serialize for NetworkUsage {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HEAD: &str = "Inter-|   Receive                                                |  Transmit\n \
        face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls\n";

    fn line(name: &str, received: u64, sent: u64) -> String {
        format!("{name:>6}: {received} 2 3 4 5 6 7 8 {sent} 10 11 12 13 14 15 16\n")
    }

    #[test]
    fn counters_and_bandwidth() {
        let mut usage = NetworkUsage::default();
        usage.update(format!("{HEAD}{}{}", line("lo", 1, 1), line("eth0.1", 100, 50)).as_bytes(), None);
        usage.update(
            format!("{HEAD}{}{}", line("lo", 1, 1), line("eth0.1", 250, 100)).as_bytes(),
            Some(Duration::from_millis(500)),
        );
        let json = serde_json::to_value(&usage).unwrap();
        let expected = serde_json::json!({
            "rx_bytes": 250, "tx_bytes": 100, "rx_packets": 2, "tx_packets": 10, "rx_errs": 3, "tx_errs": 11,
            "rx_drop": 4, "tx_drop": 12, "bandwidth": 400.0,
        });
        assert_eq!(json["eth0.1"], expected);
        assert_eq!(json["lo"]["bandwidth"], 0.0);
    }

    #[test]
    fn interfaces_that_vanish_and_start_anew() {
        let second = Some(Duration::from_secs(1));
        let mut usage = NetworkUsage::default();
        usage.update([line("a", 100, 0), line("b", 100, 0)].concat().as_bytes(), None);
        usage.update([line("b", 40, 0), line("c", 5, 0)].concat().as_bytes(), second);
        let names: Vec<(&str, f64)> = usage.iter().map(|(name, c)| (name, c.bandwidth)).collect();
        assert_eq!(names, [("b", 0.0), ("c", 0.0)]);
        usage.update(line("b", 50, 0).as_bytes(), second);
        assert_eq!(usage.iter().next().unwrap().1.bandwidth, 10.0);
    }

    #[test]
    fn no_more_than_the_limit() {
        let text: String = (0..2 * MAX_INTERFACES).map(|n| line(&format!("veth{n}"), 1, 1)).collect();
        let mut usage = NetworkUsage::default();
        usage.update(text.as_bytes(), None);
        assert_eq!(usage.iter().count(), MAX_INTERFACES);
    }

    proptest! {
        #[test]
        fn any_bytes(first: Vec<u8>, second: Vec<u8>) {
            let mut usage = NetworkUsage::default();
            usage.update(&first, None);
            usage.update(&second, Some(Duration::ZERO));
        }

        #[test]
        fn never_negative(before: [u64; 2], after: [u64; 2], elapsed: Duration) {
            let mut usage = NetworkUsage::default();
            usage.update(line("x", before[0], before[1]).as_bytes(), None);
            usage.update(line("x", after[0], after[1]).as_bytes(), Some(elapsed));
            let bandwidth = usage.iter().next().unwrap().1.bandwidth;
            prop_assert!(bandwidth >= 0.0 && bandwidth.is_finite());
        }
    }
}
