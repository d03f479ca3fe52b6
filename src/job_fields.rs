//! Values that are recorded with each print: the consumption of a meter, the spools that were used. Sensors and
//! the like feed them, the history keeps what came of them (spec behaviour.md §8, "Auxiliary fields").

use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::storage::history::Total;
use crate::sync::lock;

/// How many distinct values [`Strategy::Collect`] keeps.
const MAX_COLLECTED: usize = 100;

/// What is made of the values that come during a print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Strategy {
    /// The last one.
    #[default]
    Basic,
    /// By how much they rose: for a meter that counts on and on.
    Delta,
    /// Their sum.
    Accumulate,
    /// Their mean.
    Average,
    /// The largest.
    Maximum,
    /// The smallest.
    Minimum,
    /// All that differ, the newest hundred.
    Collect,
}

/// What a field is.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldOptions {
    /// Who provides it, such as `sensor workshop_meter`.
    pub provider: String,
    /// Its name, unique for its provider.
    pub name: String,
    /// For people.
    pub description: String,
    /// Such as `kWh`.
    pub units: Option<String>,
    /// What is made of its values.
    pub strategy: Strategy,
    /// Whether values count that come while the print waits.
    pub exclude_paused: bool,
    /// Whether the sum over all prints is kept.
    pub report_total: bool,
    /// Whether the largest of all prints is kept.
    pub report_maximum: bool,
    /// Digits after the point that are kept.
    pub precision: Option<u8>,
}

/// A field's outcome in one print.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recorded {
    provider: String,
    name: String,
    value: Value,
    description: String,
    units: Option<String>,
}

type Initial = Box<dyn Fn() -> Option<Value> + Send + Sync>;

/// One field, as its provider holds it.
pub struct Field {
    options: FieldOptions,
    /// The present reading, from which each print starts.
    initial: Option<Initial>,
    phase: Arc<Mutex<Phase>>,
    tracked: Mutex<Tracked>,
}

#[derive(Default)]
struct Tracked {
    value: Value,
    /// The reading before, also of the time between prints.
    last: Option<f64>,
    /// How many values have come in this print.
    count: u64,
}

/// Whether values count just now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    Printing,
    Paused,
}

/// All fields.
#[derive(Default)]
pub struct Fields {
    list: Mutex<Vec<Arc<Field>>>,
    phase: Arc<Mutex<Phase>>,
}

impl Fields {
    /// Adds a field. `initial` gives the present reading when a print starts; without it a print starts at none.
    /// None if its provider has one of that name, or bears the reserved name `history`.
    pub fn add(
        &self,
        options: FieldOptions,
        initial: Option<impl Fn() -> Option<Value> + Send + Sync + 'static>,
    ) -> Option<Arc<Field>> {
        let mut list = lock(&self.list);
        let same = |known: &Arc<Field>| {
            known.options.provider == options.provider && known.options.name == options.name
        };
        if options.provider == "history" || list.iter().any(same) {
            return None;
        }
        let initial = initial.map(|initial| Box::new(initial) as Initial);
        let field = Field { options, initial, phase: self.phase.clone(), tracked: Mutex::default() };
        field.start_over();
        let field = Arc::new(field);
        list.push(field.clone());
        Some(field)
    }

    /// A print begins: all fields start over.
    pub fn start(&self) {
        *lock(&self.phase) = Phase::Printing;
        self.all().iter().for_each(|field| field.start_over());
    }

    /// The print waits, or goes on.
    pub fn pause(&self, paused: bool) {
        let mut phase = lock(&self.phase);
        if *phase != Phase::Idle {
            *phase = if paused { Phase::Paused } else { Phase::Printing };
        }
    }

    /// There is no print any more.
    pub fn stop(&self) {
        *lock(&self.phase) = Phase::Idle;
    }

    /// What the fields have come to.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.all().iter().map(|field| field.recorded()).collect()
    }

    /// The totals with this print counted in. Fields of which nothing is kept are left out, so are totals of
    /// fields that are no more.
    pub fn add_to(&self, totals: &[Total]) -> Vec<Total> {
        self.all().iter().filter_map(|field| field.add_to(totals)).collect()
    }

    /// Totals of nothing.
    pub fn no_totals(&self) -> Vec<Total> {
        let all = self.all();
        let kept = all.iter().filter(|field| field.has_totals());
        kept.map(|field| {
            field
                .total(field.options.report_maximum.then_some(0.0), field.options.report_total.then_some(0.0))
        })
        .collect()
    }

    /// Whether totals of this field are kept.
    pub fn has_totals_of(&self, provider: &str, name: &str) -> bool {
        let is_it = |field: &Arc<Field>| field.options.provider == provider && field.options.name == name;
        self.all().iter().any(|field| is_it(field) && field.has_totals())
    }

    fn all(&self) -> Vec<Arc<Field>> {
        lock(&self.list).clone()
    }
}

impl Field {
    /// What it is.
    pub fn options(&self) -> &FieldOptions {
        &self.options
    }

    /// A value has come.
    pub fn update(&self, value: &Value) {
        let counts = match *lock(&self.phase) {
            Phase::Idle => false,
            Phase::Printing => true,
            Phase::Paused => !self.options.exclude_paused,
        };
        let mut tracked = lock(&self.tracked);
        let number = value.as_f64();
        match self.options.strategy {
            Strategy::Basic if counts => tracked.value = value.clone(),
            Strategy::Collect if counts => tracked.collect(value),
            Strategy::Basic | Strategy::Collect => {}
            strategy => {
                if let Some(number) = number {
                    tracked.count_in(strategy, number, counts);
                }
            }
        }
    }

    fn start_over(&self) {
        let initial = self.initial.as_ref().and_then(|initial| initial());
        let number = initial.as_ref().and_then(Value::as_f64);
        let mut tracked = lock(&self.tracked);
        match self.options.strategy {
            // without a reading the last value stays
            Strategy::Basic => {
                if self.initial.is_some() {
                    tracked.value = initial.unwrap_or_default();
                }
            }
            Strategy::Collect => {
                tracked.value = initial.filter(Value::is_array).unwrap_or_else(|| Value::Array(Vec::new()));
            }
            Strategy::Delta => *tracked = Tracked { value: 0.into(), last: number, count: 0 },
            Strategy::Maximum | Strategy::Minimum => {
                let count = u64::from(number.is_some());
                *tracked = Tracked {
                    value: initial.filter(Value::is_number).unwrap_or(0.into()),
                    last: None,
                    count,
                };
            }
            Strategy::Accumulate | Strategy::Average => {
                *tracked = Tracked {
                    value: initial.filter(Value::is_number).unwrap_or(0.into()),
                    last: None,
                    count: 0,
                };
            }
        }
    }

    fn recorded(&self) -> Recorded {
        let FieldOptions { provider, name, description, units, .. } = self.options.clone();
        let mut value = lock(&self.tracked).value.clone();
        if value.is_f64() {
            value = value.as_f64().map(|number| self.round(number)).into();
        }
        Recorded { provider, name, value, description, units }
    }

    fn round(&self, number: f64) -> f64 {
        match self.options.precision {
            Some(digits) => {
                let scale = 10f64.powi(digits.into());
                let rounded = (number * scale).round() / scale;
                if rounded.is_finite() { rounded } else { number }
            }
            None => number,
        }
    }

    fn has_totals(&self) -> bool {
        let reported = self.options.report_total || self.options.report_maximum;
        let numeric = match self.options.strategy {
            Strategy::Basic => lock(&self.tracked).value.is_number(),
            Strategy::Collect => false,
            _ => true,
        };
        reported && numeric
    }

    fn add_to(&self, totals: &[Total]) -> Option<Total> {
        if !self.has_totals() {
            return None;
        }
        let known = totals
            .iter()
            .find(|total| total.provider == self.options.provider && total.field == self.options.name);
        let value = lock(&self.tracked).value.as_f64().unwrap_or_default();
        let before = |part: fn(&Total) -> Option<f64>| known.map(|known| part(known).unwrap_or_default());
        let maximum = before(|known| known.maximum).map_or(value, |before| before.max(value));
        let total = before(|known| known.total).map_or(value, |before| before + value);
        let FieldOptions { report_maximum, report_total, .. } = self.options;
        Some(self.total(report_maximum.then(|| self.round(maximum)), report_total.then(|| self.round(total))))
    }

    fn total(&self, maximum: Option<f64>, total: Option<f64>) -> Total {
        Total { provider: self.options.provider.clone(), field: self.options.name.clone(), maximum, total }
    }
}

impl Tracked {
    fn collect(&mut self, value: &Value) {
        let Value::Array(known) = &mut self.value else { return };
        if !known.contains(value) {
            known.push(value.clone());
            let surplus = known.len().saturating_sub(MAX_COLLECTED);
            known.drain(..surplus);
        }
    }

    fn count_in(&mut self, strategy: Strategy, number: f64, counts: bool) {
        let before = self.value.as_f64().unwrap_or_default();
        let last = self.last.replace(number);
        if !counts {
            return;
        }
        self.count += 1;
        let first = self.count == 1;
        let value = match strategy {
            Strategy::Delta => before + last.map_or(0.0, |last| number - last),
            Strategy::Accumulate => before + number,
            Strategy::Average => (before * (self.count - 1) as f64 + number) / self.count as f64,
            Strategy::Maximum if !first => before.max(number),
            Strategy::Minimum if !first => before.min(number),
            _ => number,
        };
        self.value = value.into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn options(strategy: Strategy) -> FieldOptions {
        FieldOptions {
            provider: "sensor s".into(),
            name: "f".into(),
            description: "d".into(),
            units: None,
            strategy,
            exclude_paused: false,
            report_total: true,
            report_maximum: true,
            precision: None,
        }
    }

    fn outcome(strategy: Strategy, initial: Option<Value>, values: &[Value]) -> Value {
        let fields = Fields::default();
        let initial = initial.map(|value| move || Some(value.clone()));
        let field = fields.add(options(strategy), initial).unwrap();
        field.update(&json!(1000)); // no print yet
        fields.start();
        values.iter().for_each(|value| field.update(value));
        fields.recorded().remove(0).value
    }

    #[test]
    fn strategies_make_of_values_what_they_promise() {
        let values = [json!(10), json!("no number"), json!(14.0), json!(12.0)];
        for (strategy, initial, expected) in [
            (Strategy::Basic, None, json!(12.0)),
            (Strategy::Delta, None, json!(2.0)),
            (Strategy::Delta, Some(json!(4)), json!(8.0)),
            (Strategy::Accumulate, None, json!(36.0)),
            (Strategy::Accumulate, Some(json!(1)), json!(37.0)),
            (Strategy::Average, None, json!(12.0)),
            (Strategy::Average, Some(json!(99)), json!(12.0)),
            (Strategy::Maximum, None, json!(14.0)),
            (Strategy::Maximum, Some(json!(20)), json!(20.0)),
            (Strategy::Minimum, None, json!(10.0)),
            (Strategy::Minimum, Some(json!(3)), json!(3.0)),
            (Strategy::Collect, None, json!([10, "no number", 14.0, 12.0])),
        ] {
            assert_eq!(outcome(strategy, initial.clone(), &values), expected, "{strategy:?} {initial:?}");
        }
        assert_eq!(outcome(Strategy::Minimum, None, &[]), json!(0));
        let many: Vec<Value> = (0..250).map(|number| json!(number % 150)).collect();
        let kept = outcome(Strategy::Collect, None, &many);
        assert_eq!(kept.as_array().map(Vec::len), Some(MAX_COLLECTED));
    }

    #[test]
    fn pauses_can_be_left_out() {
        for (exclude_paused, expected) in [(true, 3.0), (false, 103.0)] {
            let fields = Fields::default();
            let none: Option<fn() -> Option<Value>> = None;
            let field =
                fields.add(FieldOptions { exclude_paused, ..options(Strategy::Accumulate) }, none).unwrap();
            fields.start();
            field.update(&json!(1));
            fields.pause(true);
            field.update(&json!(100));
            fields.pause(false);
            field.update(&json!(2));
            fields.stop();
            fields.pause(false);
            field.update(&json!(1000));
            assert_eq!(fields.recorded()[0].value, json!(expected));
        }
    }

    #[test]
    fn totals_grow_with_each_print() {
        let fields = Fields::default();
        let none: Option<fn() -> Option<Value>> = None;
        let field =
            fields.add(FieldOptions { precision: Some(1), ..options(Strategy::Accumulate) }, none).unwrap();
        assert!(fields.add(options(Strategy::Basic), none).is_none(), "the same again");
        let reserved = FieldOptions { provider: "history".into(), ..options(Strategy::Basic) };
        assert!(fields.add(reserved, none).is_none());
        let mut totals = Vec::new();
        for value in [2.04, 5.04, 1.0] {
            fields.start();
            field.update(&json!(value));
            totals = fields.add_to(&totals);
        }
        assert_eq!((totals[0].total, totals[0].maximum), (Some(8.0), Some(5.0)));
        assert_eq!(fields.recorded()[0].value, json!(1.0));
        assert_eq!(fields.no_totals()[0].total, Some(0.0));
        assert!(fields.has_totals_of("sensor s", "f") && !fields.has_totals_of("sensor s", "g"));
    }
}
