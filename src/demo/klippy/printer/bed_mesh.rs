//! The measured shape of the bed.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::config::Config;
use super::save_config::Pending;
use super::status::{Status, numbers};
use crate::json::to_text;

/// How a mesh was measured.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::demo::klippy) struct MeshParams {
    pub(in crate::demo::klippy) min: [f64; 2],
    pub(in crate::demo::klippy) max: [f64; 2],
    count: [usize; 2],
    /// Points put between two measured ones.
    between: [usize; 2],
    algorithm: String,
    tension: f64,
}

/// The most points along one side.
const MAX_COUNT: f64 = 50.0;

impl MeshParams {
    fn configured(config: &Config) -> Self {
        let section = "bed_mesh";
        Self {
            min: config.pair(section, "mesh_min"),
            max: config.pair(section, "mesh_max"),
            count: config.pair(section, "probe_count").map(|count| count.clamp(2.0, MAX_COUNT) as usize),
            between: config.pair(section, "mesh_pps").map(|count| count.clamp(0.0, 10.0) as usize),
            algorithm: config.text(section, "algorithm").to_owned(),
            tension: config.number(section, "bicubic_tension").unwrap_or(0.2),
        }
    }

    fn stored(config: &Config, section: &str) -> Self {
        let number = |option: &str| config.number(section, option).unwrap_or_default();
        let count = |option: &str| number(option).clamp(0.0, MAX_COUNT) as usize;
        Self {
            min: [number("min_x"), number("min_y")],
            max: [number("max_x"), number("max_y")],
            count: [count("x_count"), count("y_count")],
            between: [count("mesh_x_pps"), count("mesh_y_pps")],
            algorithm: config.text(section, "algo").to_owned(),
            tension: number("tension"),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "min_x": self.min[0], "max_x": self.max[0], "min_y": self.min[1], "max_y": self.max[1],
            "x_count": self.count[0], "y_count": self.count[1],
            "mesh_x_pps": self.between[0], "mesh_y_pps": self.between[1],
            "algo": self.algorithm, "tension": self.tension,
        })
    }

    /// The points to measure, row by row, every other row backwards.
    pub(in crate::demo::klippy) fn points(&self) -> Vec<[f64; 2]> {
        let at = |axis: usize, index: usize| {
            let steps = (self.count[axis].max(2) - 1) as f64;
            self.min[axis] + (self.max[axis] - self.min[axis]) * index as f64 / steps
        };
        (0..self.count[1])
            .flat_map(|row| {
                (0..self.count[0]).map(move |column| {
                    let column = if row % 2 == 0 { column } else { self.count[0] - 1 - column };
                    [column, row]
                })
            })
            .map(|[column, row]| [at(0, column), at(1, row)])
            .collect()
    }
}

/// A measured mesh.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::demo::klippy) struct Mesh {
    params: MeshParams,
    /// Heights in mm, row by row from the front.
    points: Vec<Vec<f64>>,
}

/// The height of the simulated bed, in mm.
pub(in crate::demo::klippy) fn bed_height(x: f64, y: f64) -> f64 {
    let height = 0.11 * (x / 61.0).sin() + 0.08 * (y / 53.0).cos() + 0.0005 * (x - y) - 0.08;
    (height * 1e6).round() / 1e6
}

impl Mesh {
    /// Measures the simulated bed.
    fn measure(params: MeshParams) -> Self {
        let mut points = vec![Vec::new(); params.count[1]];
        for row in params.points().chunks(params.count[0].max(1)).zip(&mut points) {
            let mut heights: Vec<[f64; 2]> = row.0.iter().map(|&[x, y]| [x, bed_height(x, y)]).collect();
            heights.sort_by(|one, two| one[0].total_cmp(&two[0]));
            *row.1 = heights.into_iter().map(|[_, height]| height).collect();
        }
        Self { params, points }
    }

    /// The mesh with points put between the measured ones.
    fn interpolated(&self) -> Vec<Vec<f64>> {
        let along = |values: &[f64], between: usize| -> Vec<f64> {
            let mut out = Vec::new();
            for pair in values.windows(2) {
                for step in 0..=between {
                    let share = step as f64 / (between + 1) as f64;
                    out.push(((pair[0] + (pair[1] - pair[0]) * share) * 1e6).round() / 1e6);
                }
            }
            out.extend(values.last());
            out
        };
        let rows: Vec<Vec<f64>> = self.points.iter().map(|row| along(row, self.params.between[0])).collect();
        let width = rows.first().map_or(0, Vec::len);
        let columns: Vec<Vec<f64>> = (0..width)
            .map(|column| {
                let values: Vec<f64> = rows.iter().filter_map(|row| row.get(column).copied()).collect();
                along(&values, self.params.between[1])
            })
            .collect();
        let height = columns.first().map_or(0, Vec::len);
        (0..height).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
    }

    fn profile(&self) -> Value {
        json!({ "points": self.points, "mesh_params": self.params.to_json() })
    }
}

/// The mesh in use and those kept.
#[derive(Debug, Clone)]
pub(in crate::demo::klippy) struct BedMesh {
    configured: MeshParams,
    active: Option<(String, Mesh)>,
    profiles: BTreeMap<String, Mesh>,
    status: Status,
}

impl BedMesh {
    /// Without a mesh in use, with the kept ones of the configuration.
    pub(in crate::demo::klippy) fn new(config: &Config) -> Self {
        let profiles = config
            .named("bed_mesh")
            .map(|name| {
                let section = format!("bed_mesh {name}");
                let points = config
                    .text(&section, "points")
                    .lines()
                    .map(|line| line.split(',').filter_map(|value| value.trim().parse().ok()).collect())
                    .filter(|row: &Vec<f64>| !row.is_empty())
                    .collect();
                (name.to_owned(), Mesh { params: MeshParams::stored(config, &section), points })
            })
            .collect();
        let mut mesh = Self {
            configured: MeshParams::configured(config),
            active: None,
            profiles,
            status: Status::default(),
        };
        mesh.update();
        mesh
    }

    /// Where to measure.
    pub(in crate::demo::klippy) fn params(&self) -> &MeshParams {
        &self.configured
    }

    /// Uses no mesh.
    pub(in crate::demo::klippy) fn clear(&mut self) {
        self.active = None;
        self.update();
    }

    /// Takes the bed as measured, and keeps that under a name.
    pub(in crate::demo::klippy) fn measured(&mut self, name: &str, pending: &mut Pending) {
        self.active = Some((name.to_owned(), Mesh::measure(self.configured.clone())));
        self.save(name, pending);
    }

    /// Keeps the mesh in use under a name. Says whether there is one.
    pub(in crate::demo::klippy) fn save(&mut self, name: &str, pending: &mut Pending) -> bool {
        let Some((_, mesh)) = &self.active else {
            return false;
        };
        let mut options: BTreeMap<String, String> = BTreeMap::new();
        let rows: Vec<String> = mesh
            .points
            .iter()
            .map(|row| {
                let row: Vec<String> = row.iter().map(|height| format!("{height:.6}")).collect();
                format!("\n  {}", row.join(", "))
            })
            .collect();
        options.insert("version".to_owned(), "1".to_owned());
        options.insert("points".to_owned(), rows.concat());
        if let Value::Object(params) = mesh.params.to_json() {
            options.extend(params.into_iter().map(|(key, value)| match value {
                Value::String(text) => (key, text),
                other => (key, other.to_string()),
            }));
        }
        pending.insert(format!("bed_mesh {name}"), Some(options));
        self.profiles.insert(name.to_owned(), mesh.clone());
        self.update();
        true
    }

    /// Uses a kept mesh. Says whether there is one of this name.
    pub(in crate::demo::klippy) fn load(&mut self, name: &str) -> bool {
        let Some(mesh) = self.profiles.get(name) else {
            return false;
        };
        self.active = Some((name.to_owned(), mesh.clone()));
        self.update();
        true
    }

    /// Forgets a kept mesh. Says whether there was one.
    pub(in crate::demo::klippy) fn remove(&mut self, name: &str, pending: &mut Pending) -> bool {
        let removed = self.profiles.remove(name).is_some();
        if removed {
            pending.insert(format!("bed_mesh {name}"), None);
            self.update();
        }
        removed
    }

    /// The text of `BED_MESH_OUTPUT`, without a mesh nothing.
    pub(in crate::demo::klippy) fn output(&self) -> Option<String> {
        let (_, mesh) = self.active.as_ref()?;
        let rows: Vec<String> = mesh
            .points
            .iter()
            .map(|row| row.iter().map(|height| format!(" {height:.6}")).collect::<String>())
            .collect();
        Some(format!("Mesh Leveling Probed Z positions:\n{}\n", rows.join("\n")))
    }

    /// The text of `BED_MESH_MAP`, without a mesh nothing.
    pub(in crate::demo::klippy) fn map(&self) -> Option<String> {
        let (_, mesh) = self.active.as_ref()?;
        let map =
            json!({ "mesh_min": mesh.params.min, "mesh_max": mesh.params.max, "z_positions": mesh.points });
        Some(format!("mesh_map_output {map}"))
    }

    fn profiles_json(&self) -> Value {
        self.profiles.iter().map(|(name, mesh)| (name.clone(), mesh.profile())).collect()
    }

    fn update(&mut self) {
        let profiles = to_text(&self.profiles_json());
        self.status = match &self.active {
            Some((name, mesh)) => Status::default()
                .text("profile_name", name)
                .raw("mesh_min", numbers(&mesh.params.min))
                .raw("mesh_max", numbers(&mesh.params.max))
                .raw("probed_matrix", to_text(&mesh.points))
                .raw("mesh_matrix", to_text(&mesh.interpolated())),
            None => Status::default()
                .text("profile_name", "")
                .raw("mesh_min", "[0.0,0.0]")
                .raw("mesh_max", "[0.0,0.0]")
                .raw("probed_matrix", "[[]]")
                .raw("mesh_matrix", "[[]]"),
        }
        .raw("profiles", profiles);
    }

    /// The fields of its object.
    pub(in crate::demo::klippy) fn status(&self) -> Status {
        self.status.clone()
    }

    /// The answer of the endpoint `bed_mesh/dump_mesh`, but for the axes.
    pub(in crate::demo::klippy) fn dump(&self, probe_offsets: [f64; 3]) -> Value {
        let params = &self.configured;
        let points = params.points();
        let rapid: Vec<Value> = points.iter().map(|point| json!([point, true])).collect();
        let current = self.active.as_ref().map_or(json!({}), |(name, mesh)| {
            json!({
                "name": name, "probed_matrix": mesh.points, "mesh_matrix": mesh.interpolated(),
                "mesh_params": mesh.params.to_json(),
            })
        });
        json!({
            "current_mesh": current,
            "profiles": self.profiles_json(),
            "calibration": {
                "points": points,
                "config": {
                    "x_count": params.count[0], "y_count": params.count[1],
                    "mesh_x_pps": params.between[0], "mesh_y_pps": params.between[1],
                    "algo": params.algorithm, "tension": params.tension,
                    "mesh_min": params.min, "mesh_max": params.max, "origin": null, "radius": null,
                },
                "probe_path": points,
                "rapid_path": rapid,
            },
            "probe_offsets": probe_offsets,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::config::tests::config;
    use super::*;

    #[test]
    fn a_measured_mesh_is_kept_loaded_and_removed() {
        let mut pending = Pending::new();
        let mut mesh = BedMesh::new(&config());
        assert!(!mesh.save("a", &mut pending) && mesh.output().is_none());
        mesh.measured("default", &mut pending);
        let status: Value = serde_json::from_str(&mesh.status().to_json()).unwrap();
        assert_eq!(status["probed_matrix"].as_array().unwrap().len(), 5);
        assert_eq!(status["mesh_matrix"].as_array().unwrap().len(), 13);
        assert_eq!(status["mesh_matrix"][12].as_array().unwrap().len(), 13);
        assert_eq!(status["mesh_matrix"][0][0], status["probed_matrix"][0][0]);
        assert_eq!(status["mesh_matrix"][12][12], status["probed_matrix"][4][4]);
        assert_eq!(status["profiles"]["default"]["mesh_params"]["x_count"], 5);
        assert_eq!(pending["bed_mesh default"].as_ref().unwrap()["version"], "1");
        mesh.clear();
        assert!(mesh.load("default") && !mesh.load("other"));
        assert!(mesh.remove("default", &mut pending) && !mesh.remove("default", &mut pending));
        assert_eq!(pending["bed_mesh default"], None);
    }

    #[test]
    fn every_other_row_is_measured_backwards() {
        let points = BedMesh::new(&config()).params().points();
        assert_eq!((points.len(), points[0], points[4]), (25, [20.0, 20.0], [215.0, 20.0]));
        assert_eq!((points[5], points[9]), ([215.0, 68.75], [20.0, 68.75]));
    }
}
