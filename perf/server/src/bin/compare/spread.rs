//! Several runs' figures.

/// The least, the middle and the greatest.
pub struct Spread {
    low: f64,
    pub median: f64,
    high: f64,
}

impl Spread {
    /// # Panics
    ///
    /// If there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<_> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Self {
            low: sorted[0],
            median,
            high: sorted[sorted.len() - 1],
        }
    }

    /// `3 (2 to 5)`.
    pub fn show(&self, unit: impl Fn(f64) -> String) -> String {
        format!(
            "{} ({} to {})",
            unit(self.median),
            unit(self.low),
            unit(self.high)
        )
    }
}

pub fn whole(figure: f64) -> String {
    format!("{figure:.0}")
}

pub fn times(ratio: f64) -> String {
    format!("×{ratio:.4}")
}
