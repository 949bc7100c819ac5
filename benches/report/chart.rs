//! Plots of a section's rows, as SVG in `perf/`.

use plotters::prelude::*;
use std::fs;
use std::path::Path;

/// Each subject's cost against a size.
pub(crate) struct Chart {
    /// `perf/<file>.svg`.
    pub(crate) file: &'static str,
    pub(crate) title: &'static str,
    pub(crate) x: &'static str,
    pub(crate) y: &'static str,
    /// A size, and the row that was measured at it.
    pub(crate) points: Vec<(f64, String)>,
    /// What was measured in another way.
    pub(crate) drawn: Vec<Series>,
}

#[derive(Clone)]
pub(crate) struct Series {
    pub(crate) subject: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Room for the subjects' names, each at the end of its line.
const NAMES: u32 = 110;

const COLOURS: [RGBColor; 4] = [
    RGBColor(0x1f, 0x5f, 0xbf),
    RGBColor(0xc0, 0x50, 0x20),
    RGBColor(0x2f, 0x8f, 0x4f),
    RGBColor(0x80, 0x80, 0x80),
];

fn ends(values: impl Iterator<Item = f64> + Clone) -> (f64, f64) {
    let low = values.clone().fold(f64::MAX, f64::min);
    (low, values.fold(0.0, f64::max))
}

/// Whole powers of ten around the values.
fn decades(values: impl Iterator<Item = f64> + Clone) -> std::ops::Range<f64> {
    let (low, high) = ends(values);
    let (low, high) = (low.log10().floor(), high.log10().ceil());
    10_f64.powf(low)..10_f64.powf(high.max(low + 1.0))
}

fn mark(value: &f64) -> String {
    if *value < 1.0 {
        value.to_string()
    } else {
        let digits = format!("{value:.0}");
        let groups: Vec<_> = digits
            .as_bytes()
            .rchunks(3)
            .rev()
            .map(String::from_utf8_lossy)
            .collect();
        groups.join(",")
    }
}

impl Chart {
    pub(super) fn draw(&self, series: &[Series]) -> Result<(), String> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("perf");
        fs::create_dir_all(&directory).map_err(|e| e.to_string())?;
        let path = directory.join(format!("{}.svg", self.file));
        self.draw_at(&path, series).map_err(|e| e.to_string())
    }

    fn draw_at(&self, path: &Path, all: &[Series]) -> Result<(), Box<dyn std::error::Error>> {
        let points = all.iter().flat_map(|series| &series.points);
        let (least, most) = ends(points.clone().map(|point| point.0));
        let y = decades(points.map(|point| point.1));
        let root = SVGBackend::new(path, (720, 400)).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(self.title, ("sans-serif", 18))
            .margin(12)
            .margin_right(NAMES)
            .x_label_area_size(40)
            .y_label_area_size(70)
            .build_cartesian_2d((least..most).log_scale(), y.log_scale())?;
        chart
            .configure_mesh()
            .x_desc(self.x)
            .y_desc(self.y)
            .x_label_formatter(&mark)
            .y_label_formatter(&mark)
            .light_line_style(WHITE)
            .draw()?;
        for (series, colour) in all.iter().zip(COLOURS) {
            let line = series.points.iter().copied();
            chart.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
            let dots = series.points.iter();
            chart.draw_series(dots.map(|&point| Circle::new(point, 3, colour.filled())))?;
            if let Some(last) = series.points.last() {
                let (x, y) = chart.backend_coord(last);
                let style = ("sans-serif", 13).into_font().color(&colour);
                root.draw(&Text::new(series.subject, (x + 8, y - 6), style))?;
            }
        }
        root.present()?;
        Ok(())
    }
}
