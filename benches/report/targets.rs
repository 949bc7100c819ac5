//! What a row has to reach, and the table that says whether it does.

use super::cost::{Cost, digits};
use super::target_lines;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    AtMost(f64),
    /// Of another row of the same section.
    TimesRow(f64, &'static str),
    /// Enough, or that near to the row's floor.
    AtMostOrTimesFloor(f64, f64),
}

/// What a target is held against.
pub(super) struct Reached<'a> {
    pub(super) ours: &'a Cost,
    pub(super) floor: Option<&'a Cost>,
    /// The row that `TimesRow` names, with its label.
    pub(super) other: Option<(&'a str, &'a Cost)>,
}

impl Target {
    fn judge(self, reached: &Reached<'_>) -> Result<(String, String, bool), &'static str> {
        let ours = reached.ours;
        let (unit, median) = (ours.unit, ours.median());
        Ok(match self {
            Self::AtMost(most) => (
                unit.show(median),
                format!("≤ {}", unit.show(most)),
                median <= most,
            ),
            Self::TimesRow(factor, _) => {
                let (label, cost) = reached.other.ok_or("the row it is held against")?;
                let ratio = ours.over(cost);
                (
                    format!("{}, {ratio:.2} ×", unit.show(median)),
                    format!("≤ {} × '{label}'", digits(factor)),
                    ratio <= factor,
                )
            }
            Self::AtMostOrTimesFloor(most, factor) => {
                let ratio = ours.over(reached.floor.ok_or("the floor")?);
                (
                    format!("{}, {ratio:.2} ×", unit.show(median)),
                    format!("≤ {}, or ≤ {} × the floor", unit.show(most), digits(factor)),
                    median <= most || ratio <= factor,
                )
            }
        })
    }

    pub(super) fn line(
        self,
        section: &str,
        label: &str,
        reached: &Reached<'_>,
    ) -> Result<String, String> {
        let (figure, target, met) = self
            .judge(reached)
            .map_err(|lacking| format!("{label}: {lacking} was not measured"))?;
        Ok(target_lines::line(section, label, &figure, &target, met))
    }
}
