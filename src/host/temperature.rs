//! Which file tells the temperature of the CPU.

use super::Host;

/// Sensor chips of CPUs, by their hwmon name, best first.
const CHIPS: [&str; 6] =
    ["coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "cpu_thermal_zone"];

/// The file with the temperature of the CPU in thousandths of a degree: a hwmon chip that is known to be a
/// CPU's, else a thermal zone that says so in its type, else the first thermal zone.
pub(crate) fn sensor(host: &Host) -> Option<String> {
    const HWMON: &str = "/sys/class/hwmon";
    const THERMAL: &str = "/sys/class/thermal";
    let readable = |path: &String| host.number::<i64>(path).is_some();

    let chips: Vec<(String, String)> = (host.names(HWMON).into_iter())
        .filter_map(|chip| Some((host.line(format!("{HWMON}/{chip}/name"))?, chip)))
        .collect();
    let of_cpu = CHIPS.iter().filter_map(|known| chips.iter().find(|(name, _)| name == known));
    if let Some(path) = of_cpu.map(|(_, chip)| format!("{HWMON}/{chip}/temp1_input")).find(readable) {
        return Some(path);
    }
    let zones: Vec<String> =
        host.names(THERMAL).into_iter().filter(|name| name.starts_with("thermal_zone")).collect();
    let says_so = |zone: &&String| {
        let kind = host.line(format!("{THERMAL}/{zone}/type")).unwrap_or_default().to_ascii_lowercase();
        ["cpu", "soc", "x86_pkg"].iter().any(|word| kind.starts_with(word))
    };
    let named = zones.iter().filter(says_so);
    named.chain(&zones).map(|zone| format!("{THERMAL}/{zone}/temp")).find(readable)
}

/// Degrees from the number in a sensor's file. Some vendor kernels give whole degrees instead of thousandths.
pub(crate) fn degrees(number: i64) -> f64 {
    /// No CPU runs at a fifth of a degree, and none at 200.
    const WHOLE_DEGREES: i64 = 200;
    if number.abs() < WHOLE_DEGREES { number as f64 } else { number as f64 / 1000.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fixture::Tree;

    fn chosen(tree: &str) -> Option<String> {
        sensor(Tree::unpack(tree).host())
    }

    #[test]
    fn the_cpu_comes_before_others() {
        let hwmon = "@@ /sys/class/hwmon/hwmon0/name\nnvme\n@@ /sys/class/hwmon/hwmon0/temp1_input\n40000\n\
            @@ /sys/class/hwmon/hwmon1/name\ncoretemp\n@@ /sys/class/hwmon/hwmon1/temp1_input\n50000\n";
        let zones = "@@ /sys/class/thermal/thermal_zone0/type\ngpu-thermal\n\
            @@ /sys/class/thermal/thermal_zone0/temp\n30000\n\
            @@ /sys/class/thermal/thermal_zone1/type\ncpu-thermal\n\
            @@ /sys/class/thermal/thermal_zone1/temp\n30000\n";
        let other = "@@ /sys/class/thermal/thermal_zone0/temp\n30000\n";
        assert_eq!(chosen(&[hwmon, zones].concat()).as_deref(), Some("/sys/class/hwmon/hwmon1/temp1_input"));
        assert_eq!(chosen(zones).as_deref(), Some("/sys/class/thermal/thermal_zone1/temp"));
        assert_eq!(chosen(other).as_deref(), Some("/sys/class/thermal/thermal_zone0/temp"));
        assert_eq!(chosen(""), None);
    }

    #[test]
    fn units() {
        assert_eq!(degrees(45_622), 45.622);
        assert_eq!(degrees(45), 45.0);
        assert_eq!(degrees(-5000), -5.0);
        assert_eq!(degrees(0), 0.0);
    }
}
