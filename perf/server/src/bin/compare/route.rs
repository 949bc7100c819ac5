//! What is asked.

pub struct Route {
    pub path: &'static str,
    /// So many of 84.
    pub weight: u32,
    /// Whether it is of interest where its instructions go. Of `/work`, nearly all are the work.
    pub profiled: bool,
}

/// Paths and shares of the well-behaved requests of the gateway's own load, where that rolls dice the middle.
pub const ROUTES: [Route; 4] = [
    Route {
        path: "/whoami",
        weight: 10,
        profiled: true,
    },
    Route {
        path: "/sleep?ms=5",
        weight: 25,
        profiled: true,
    },
    Route {
        path: "/work?n=11000",
        weight: 25,
        profiled: false,
    },
    Route {
        path: "/fanout?ms=2",
        weight: 24,
        profiled: true,
    },
];

/// The figure of a request of all routes, each with its weight, of one for each route.
pub fn mixed(figures: [f64; ROUTES.len()]) -> f64 {
    let weight = |route: &Route| f64::from(route.weight);
    let all: f64 = ROUTES.iter().map(weight).sum();
    let weighted = ROUTES
        .iter()
        .zip(figures)
        .map(|(route, figure)| weight(route) * figure);
    weighted.sum::<f64>() / all
}

/// A route by its weight.
pub fn pick(dice: &mut fastrand::Rng) -> &'static Route {
    let all = ROUTES.iter().map(|route| route.weight).sum();
    let mut rolled = dice.u32(0..all);
    ROUTES
        .iter()
        .find(|route| {
            let here = rolled < route.weight;
            rolled = rolled.saturating_sub(route.weight);
            here
        })
        .unwrap_or(&ROUTES[0])
}
