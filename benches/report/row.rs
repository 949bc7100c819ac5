//! A line of a table, as a bench describes it.

use super::cost::Unit;
use super::targets::Target;
use criterion::Bencher;

pub(super) const OURS: &str = "ripcord";
pub(super) const GO: &str = "Go";
pub(super) const FLOOR: &str = "floor";
pub(super) const SCALE: &str = "scale";

type Turn = Box<dyn FnMut(&mut Bencher<'_>)>;

pub(super) enum Work {
    /// Timed by criterion. Made anew for each turn, so that what it sets up is not there in the turns of others.
    Timed(Box<dyn Fn() -> Turn>),
    /// Finds its figure by itself.
    Found(Box<dyn Fn() -> f64>),
    /// The program in `benches/go` has a row of this section and id.
    Go,
}

pub(crate) struct Row {
    pub(super) id: String,
    pub(super) label: String,
    pub(super) unit: Unit,
    /// Operations in what is timed.
    pub(super) per: f64,
    pub(super) slow: bool,
    pub(super) floor_name: &'static str,
    pub(super) work: Vec<(&'static str, Work)>,
    pub(super) targets: Vec<Target>,
}

impl Row {
    pub(super) fn new(id: String, label: String) -> Self {
        Self {
            id,
            label,
            unit: Unit::Time,
            per: 1.0,
            slow: false,
            floor_name: "",
            work: Vec::new(),
            targets: Vec::new(),
        }
    }

    pub(super) fn asks_go(&self) -> bool {
        self.work.iter().any(|(_, work)| matches!(work, Work::Go))
    }

    fn timed<F>(&mut self, subject: &'static str, make: impl Fn() -> F + 'static) -> &mut Self
    where
        F: FnMut(&mut Bencher<'_>) + 'static,
    {
        let make = Box::new(move || -> Turn { Box::new(make()) });
        self.work.push((subject, Work::Timed(make)));
        self
    }

    pub(crate) fn ours<F>(&mut self, make: impl Fn() -> F + 'static) -> &mut Self
    where
        F: FnMut(&mut Bencher<'_>) + 'static,
    {
        self.timed(OURS, make)
    }

    /// `name` is one of the section's peers.
    pub(crate) fn peer<F>(
        &mut self,
        name: &'static str,
        make: impl Fn() -> F + 'static,
    ) -> &mut Self
    where
        F: FnMut(&mut Bencher<'_>) + 'static,
    {
        self.timed(name, make)
    }

    pub(crate) fn go(&mut self) -> &mut Self {
        self.work.push((GO, Work::Go));
        self
    }

    /// What the machine takes for the least that has to be done.
    pub(crate) fn floor<F>(
        &mut self,
        name: &'static str,
        make: impl Fn() -> F + 'static,
    ) -> &mut Self
    where
        F: FnMut(&mut Bencher<'_>) + 'static,
    {
        self.floor_name = name;
        self.timed(FLOOR, make)
    }

    /// A cost of the machine, by which the others are read; the only subject of its row.
    pub(crate) fn scale<F>(&mut self, make: impl Fn() -> F + 'static) -> &mut Self
    where
        F: FnMut(&mut Bencher<'_>) + 'static,
    {
        self.timed(SCALE, make)
    }

    fn found(&mut self, subject: &'static str, find: impl Fn() -> f64 + 'static) -> &mut Self {
        self.work.push((subject, Work::Found(Box::new(find))));
        self
    }

    pub(crate) fn ours_found(&mut self, find: impl Fn() -> f64 + 'static) -> &mut Self {
        self.found(OURS, find)
    }

    pub(crate) fn peer_found(
        &mut self,
        name: &'static str,
        find: impl Fn() -> f64 + 'static,
    ) -> &mut Self {
        self.found(name, find)
    }

    pub(crate) fn floor_found(
        &mut self,
        name: &'static str,
        find: impl Fn() -> f64 + 'static,
    ) -> &mut Self {
        self.floor_name = name;
        self.found(FLOOR, find)
    }

    pub(crate) fn unit(&mut self, unit: Unit) -> &mut Self {
        self.unit = unit;
        self
    }

    /// What is timed is this many operations, and the figure is of one.
    pub(crate) fn per(&mut self, operations: usize) -> &mut Self {
        self.per = operations as f64;
        self
    }

    /// It takes long to prepare: criterion's minimum of samples has to do. It warns that even these take longer than
    /// they were given.
    pub(crate) fn slow(&mut self) -> &mut Self {
        self.slow = true;
        self
    }

    pub(crate) fn target(&mut self, target: Target) -> &mut Self {
        self.targets.push(target);
        self
    }
}
