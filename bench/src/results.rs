//! What is kept of runs: one JSON file, merged cell by cell, from which the page is made.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::cell::{Sample, Shape};
use crate::engine::Engine;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Results {
    /// The last run of all parts, or of some of them.
    #[serde(default)]
    pub run: Run,
    pub machine: Vec<String>,
    pub cells: Vec<Cell>,
    pub figures: BTreeMap<String, Figure>,
    pub curves: BTreeMap<String, Curve>,
}

/// When and on what a run was made, and what of it went wrong.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Run {
    /// What was run, as on the command line.
    pub parts: Vec<String>,
    pub began: String,
    pub commit: String,
    pub minutes: f64,
    pub load_before: f64,
    pub load_after: f64,
    pub failures: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Client {
    Raw,
    C,
}

/// One cell of the throughput tables with all its repetitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cell {
    pub client: Client,
    pub servers: usize,
    pub shape: Shape,
    pub zookeeper: Vec<Sample>,
    /// ZooKeeper once more in the same round, where it was measured against itself.
    pub zookeeper_again: Vec<Sample>,
    pub coordinator: Vec<Sample>,
    pub command: String,
}

/// One scenario's values, all tries kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Figure {
    pub unit: String,
    pub zookeeper: Vec<f64>,
    pub coordinator: Vec<f64>,
    pub load: f64,
    pub command: String,
}

/// A growth curve: values of both engines at each x.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Curve {
    pub x: String,
    pub unit: String,
    pub points: Vec<Point>,
    pub command: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    pub engine: Engine,
    pub x: f64,
    pub y: f64,
}

impl Results {
    /// The results at `path`, or none yet.
    pub fn load(path: &Path) -> Result<Results> {
        if !path.exists() {
            return Ok(Results::default());
        }
        let text = fs::read_to_string(path)?;
        serde_json::from_str(&text)
            .with_context(|| format!("{} is no results file", path.display()))
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // Whoever reads meanwhile, or after a run cut short, finds the old or the new.
        let aside = path.with_extension("json.new");
        fs::write(&aside, serde_json::to_string_pretty(self)? + "\n").context("write results")?;
        fs::rename(&aside, path).context("write results")
    }

    /// Forgets all values but the growth curves, which are made by a command of their own.
    pub fn forget_cells(&mut self) {
        self.cells.clear();
        self.figures.clear();
    }

    /// Replaces the cell of the same client, servers and shape; one engine alone leaves the other's
    /// values as they were.
    pub fn put_cell(&mut self, cell: Cell) {
        let same = |old: &&mut Cell| {
            old.client == cell.client && old.servers == cell.servers && old.shape == cell.shape
        };
        if let Some(old) = self.cells.iter_mut().find(same) {
            let keep = old.clone();
            *old = cell;
            if old.zookeeper.is_empty() {
                old.zookeeper = keep.zookeeper;
                old.zookeeper_again = keep.zookeeper_again;
            }
            if old.coordinator.is_empty() {
                old.coordinator = keep.coordinator;
            }
        } else {
            self.cells.push(cell);
            self.cells.sort_by_key(|cell| (cell.client, cell.servers, cell.shape));
        }
    }

    pub fn cell(&self, client: Client, servers: usize, shape: Shape) -> Option<&Cell> {
        self.cells
            .iter()
            .find(|cell| (cell.client, cell.servers, cell.shape) == (client, servers, shape))
    }

    /// The median of what `engine` has under `name`.
    pub fn median(&self, name: &str, engine: Engine) -> Option<f64> {
        let values = self.figures.get(name)?.values(engine);
        Spread::of(values.iter().copied()).map(|spread| spread.median)
    }

    /// Replaces what `engine` has under `name`.
    pub fn put_figure(
        &mut self,
        name: &str,
        unit: &str,
        engine: Engine,
        values: Vec<f64>,
        command: &str,
    ) {
        let figure = self.figures.entry(name.to_owned()).or_default();
        unit.clone_into(&mut figure.unit);
        command.clone_into(&mut figure.command);
        figure.load = crate::process::load_average();
        match engine {
            Engine::ZooKeeper => figure.zookeeper = values,
            Engine::Coordinator => figure.coordinator = values,
        }
    }

    pub fn put_point(&mut self, name: &str, x: &str, unit: &str, point: Point, command: &str) {
        let curve = self.curves.entry(name.to_owned()).or_default();
        x.clone_into(&mut curve.x);
        unit.clone_into(&mut curve.unit);
        command.clone_into(&mut curve.command);
        curve.points.retain(|old| old.engine != point.engine || (old.x - point.x).abs() > 1e-9);
        curve.points.push(point);
        curve.points.sort_by(|a, b| (a.engine, a.x).partial_cmp(&(b.engine, b.x)).expect("finite"));
    }
}

impl Figure {
    pub fn values(&self, engine: Engine) -> &[f64] {
        match engine {
            Engine::ZooKeeper => &self.zookeeper,
            Engine::Coordinator => &self.coordinator,
        }
    }
}

/// Minimum, median, maximum.
#[derive(Clone, Copy, Debug)]
pub struct Spread {
    pub min: f64,
    pub median: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (&min, &max) = (values.first()?, values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Spread { min, median, max })
    }
}
