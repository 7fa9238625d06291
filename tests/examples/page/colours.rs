//! The colours of the answers, as people with each kind of colour blindness see them.
//!
//! Uses the matrices of Machado, Oliveira and Fernandes, "A Physiologically-based Model for
//! Simulation of Color Vision Deficiency" (2009), at full severity, and distances in CIELAB.

use serde_json::Value;

use super::open;

/// Without `degraded`, which has the colour of `failed`.
const SOURCES: [&str; 7] = [
    "near",
    "hit",
    "stale",
    "refreshed",
    "loaded",
    "waited",
    "failed",
];

/// For linear red, green and blue.
const SIGHTS: [(&str, [[f64; 3]; 3]); 4] = [
    (
        "all cones",
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    ),
    (
        "no red",
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
    ),
    (
        "no green",
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
    ),
    (
        "no blue",
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ),
];

fn times(matrix: &[[f64; 3]; 3], of: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(of).map(|(a, b)| a * b).sum())
}

/// From 0 to 255 to linear light.
fn linear(value: f64) -> f64 {
    let value = value / 255.0;
    if value <= 0.040_45 {
        value / 12.92
    } else {
        ((value + 0.055) / 1.055).powf(2.4)
    }
}

/// From linear light, under D65.
fn lab(rgb: [f64; 3]) -> [f64; 3] {
    let matrix = [
        [0.4124, 0.3576, 0.1805],
        [0.2126, 0.7152, 0.0722],
        [0.0193, 0.1192, 0.9505],
    ];
    let [x, y, z] = times(&matrix, rgb.map(|part| part.clamp(0.0, 1.0)));
    let [x, y, z] = [x / 0.950_47, y, z / 1.088_83].map(|part| {
        if part > 0.008_856 {
            part.cbrt()
        } else {
            7.787 * part + 16.0 / 116.0
        }
    });
    [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
}

fn distance(one: [f64; 3], other: [f64; 3]) -> f64 {
    let squares = one.iter().zip(other).map(|(a, b)| (a - b).powi(2));
    squares.sum::<f64>().sqrt()
}

/// `rgb(11, 122, 117)`
fn parse(colour: &Value) -> [f64; 3] {
    let parts = colour.as_str().unwrap().trim_start_matches("rgb(");
    let mut parts = parts.trim_end_matches(')').split(", ");
    [(); 3].map(|()| linear(parts.next().unwrap().parse().unwrap()))
}

#[test]
fn the_colours_of_answers_stay_apart_for_the_colour_blind() {
    let page = open(5);
    for scheme in ["light", "dark"] {
        page.browser.prefer("prefers-color-scheme", scheme);
        let colours = SOURCES.map(|source| {
            let fill = format!(
                "const bar = node('rect', {{ class: '{source}' }});
                 document.getElementById('watch-line').append(bar);
                 return getComputedStyle(bar).fill"
            );
            parse(&page.browser.run(&fill))
        });
        for (sight, matrix) in &SIGHTS {
            let seen = colours.map(|colour| lab(times(matrix, colour)));
            for (place, one) in seen.iter().enumerate() {
                for (other, another) in seen.iter().enumerate().skip(place + 1) {
                    let apart = distance(*one, *another);
                    let (one, other) = (SOURCES[place], SOURCES[other]);
                    assert!(
                        apart > 20.0,
                        "{scheme}, {sight}: {one} and {other}: {apart:.0}"
                    );
                }
            }
        }
    }
}
