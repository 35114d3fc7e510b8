//! Plots as SVG: horizontal bars in pairs, tries as dots, curves on logarithmic axes.
//!
//! Two colours that stay apart for colour-blind readers (Okabe and Ito), shape and label beside
//! colour, values written at the marks so that no grid has to be read.

use std::fmt::Write;

use crate::engine::Engine;
use crate::results::{Point, Spread};
use crate::target::number;

const WIDTH: f64 = 760.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 74.0;
const INK: &str = "#222222";
const FAINT: &str = "#d9d9d9";
const GREY: &str = "#666666";

fn colour(engine: Engine) -> &'static str {
    match engine {
        Engine::ZooKeeper => "#D55E00",
        Engine::Coordinator => "#0072B2",
    }
}

/// Two bars: both engines' values of one thing.
pub struct Pair {
    pub label: String,
    pub zookeeper: Option<Spread>,
    pub coordinator: Option<Spread>,
    /// Written at the right edge.
    pub remark: String,
}

pub struct Heading<'a> {
    pub title: &'a str,
    pub subtitle: &'a str,
    pub unit: &'a str,
}

/// Horizontal bars in pairs, with a whisker from minimum to maximum.
pub fn bars(heading: &Heading<'_>, pairs: &[Pair]) -> String {
    const BAR: f64 = 15.0;
    const GROUP: f64 = 50.0;
    let height = TOP + GROUP * pairs.len() as f64 + 16.0;
    let most = pairs
        .iter()
        .flat_map(|pair| [pair.zookeeper, pair.coordinator])
        .flatten()
        .map(|spread| spread.max)
        .fold(0.0, f64::max);
    let scale = (WIDTH - LEFT - RIGHT - 70.0) / most.max(f64::MIN_POSITIVE);
    let mut svg = open(heading, height);
    legend(&mut svg);
    for (index, pair) in pairs.iter().enumerate() {
        let top = TOP + GROUP * index as f64 + 6.0;
        text(&mut svg, LEFT - 10.0, top + BAR + 4.0, "end", INK, 13.0, &pair.label);
        let rows = [(Engine::ZooKeeper, pair.zookeeper), (Engine::Coordinator, pair.coordinator)];
        for (row, (engine, spread)) in rows.into_iter().enumerate() {
            let Some(spread) = spread else { continue };
            let y = top + (BAR + 3.0) * row as f64;
            let width = (spread.median * scale).max(1.5);
            let fill = colour(engine);
            let _ = writeln!(
                svg,
                r#"<rect x="{LEFT}" y="{y:.1}" width="{width:.1}" height="{BAR}" rx="2" fill="{fill}"/>"#
            );
            let (from, to) = (LEFT + spread.min * scale, LEFT + spread.max * scale);
            let middle = y + BAR / 2.0;
            if to - from > 1.5 {
                let _ = writeln!(
                    svg,
                    r#"<path d="M{from:.1} {middle:.1}H{to:.1}M{from:.1} {:.1}v6M{to:.1} {:.1}v6" stroke="{INK}" fill="none"/>"#,
                    middle - 3.0,
                    middle - 3.0
                );
            }
            let label = number(spread.median, "");
            text(&mut svg, LEFT + width.max(to - LEFT) + 6.0, y + 12.0, "start", INK, 12.0, &label);
        }
        text(&mut svg, WIDTH - 12.0, top + BAR + 5.0, "end", INK, 14.0, &pair.remark);
    }
    let _ = writeln!(
        svg,
        r#"<path d="M{LEFT} {TOP}V{:.1}" stroke="{GREY}" fill="none"/>"#,
        height - 14.0
    );
    close(svg)
}

/// Every try as a dot, one row an engine and fault.
pub fn dots(heading: &Heading<'_>, rows: &[(String, Engine, &[f64])]) -> String {
    const ROW: f64 = 46.0;
    let height = TOP + ROW * rows.len() as f64 + 44.0;
    let values = || rows.iter().flat_map(|(_, _, values)| values.iter().copied());
    let axis = LogAxis::over(values(), LEFT, WIDTH - 40.0);
    let mut svg = open(heading, height);
    legend(&mut svg);
    let bottom = TOP + ROW * rows.len() as f64 + 8.0;
    axis.draw_below(&mut svg, TOP, bottom, heading.unit);
    for (index, (label, engine, values)) in rows.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5);
        text(&mut svg, LEFT - 10.0, y + 4.0, "end", INK, 13.0, label);
        for (turn, &value) in values.iter().enumerate() {
            // Spread over the row in a fixed pattern, so that equal values are all seen.
            let offset = (turn * 7 % 11) as f64 - 5.0;
            mark(&mut svg, *engine, axis.at(value), y + offset * 1.6, 0.65);
        }
        if let Some(spread) = Spread::of(values.iter().copied()) {
            let x = axis.at(spread.median);
            let _ = writeln!(
                svg,
                r#"<path d="M{x:.1} {:.1}v28" stroke="{INK}" stroke-width="2" fill="none"/>"#,
                y - 14.0
            );
            let text_y = y - 16.0;
            text(&mut svg, x + 4.0, text_y + 3.0, "start", INK, 11.0, &number(spread.median, ""));
        }
    }
    close(svg)
}

/// Curves of both engines on two logarithmic axes.
pub fn curves(heading: &Heading<'_>, x_name: &str, points: &[Point]) -> String {
    const HEIGHT: f64 = 360.0;
    let (left, right, bottom) = (70.0, WIDTH - 130.0, HEIGHT - 46.0);
    let mut svg = open(heading, HEIGHT);
    let x_axis = LogAxis::over(points.iter().map(|point| point.x), left + 16.0, right - 16.0);
    let y_axis = LogAxis::over(points.iter().map(|point| point.y), bottom, TOP + 6.0);
    for tick in y_axis.ticks() {
        let y = y_axis.at(tick);
        let _ = writeln!(svg, r#"<path d="M{left} {y:.1}H{right}" stroke="{FAINT}" fill="none"/>"#);
        text(&mut svg, left - 8.0, y + 4.0, "end", GREY, 12.0, &tick_label(tick));
    }
    x_axis.draw_below(&mut svg, TOP, bottom, x_name);
    for engine in Engine::BOTH {
        let own: Vec<&Point> = points.iter().filter(|point| point.engine == engine).collect();
        let mut line = String::new();
        for point in &own {
            let joint = if line.is_empty() { 'M' } else { 'L' };
            let _ = write!(line, "{joint}{:.1} {:.1}", x_axis.at(point.x), y_axis.at(point.y));
        }
        let stroke = colour(engine);
        let _ =
            writeln!(svg, r#"<path d="{line}" stroke="{stroke}" stroke-width="2.5" fill="none"/>"#);
        for point in &own {
            let (x, y) = (x_axis.at(point.x), y_axis.at(point.y));
            mark(&mut svg, engine, x, y, 1.0);
            text(&mut svg, x, y - 9.0, "middle", INK, 11.0, &number(point.y, ""));
        }
        if let Some(last) = own.last() {
            let (x, y) = (x_axis.at(last.x) + 12.0, y_axis.at(last.y) + 4.0);
            text(&mut svg, x.max(right - 4.0) + 8.0, y, "start", stroke, 13.0, engine.name());
        }
    }
    close(svg)
}

struct LogAxis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl LogAxis {
    fn over(values: impl Iterator<Item = f64>, from: f64, to: f64) -> LogAxis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0) {
            (low, high) = (low.min(value.log10()), high.max(value.log10()));
        }
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        // Half an octave of air, and never so narrow that noise looks like a trend.
        let air = ((1.0 - (high - low)) / 2.0).max(0.12);
        LogAxis { low: low - air, high: high + air, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.max(1e-12).log10() - self.low) / (self.high - self.low);
        self.from + share * (self.to - self.from)
    }

    /// 1, 2, 5 of each decade while they have room, else the decades.
    fn ticks(&self) -> Vec<f64> {
        let steps: &[f64] = if self.high - self.low > 2.2 { &[1.0] } else { &[1.0, 2.0, 5.0] };
        let mut ticks = Vec::new();
        for decade in self.low.floor() as i32..=self.high.ceil() as i32 {
            for step in steps {
                let tick = step * 10f64.powi(decade);
                if (self.low..=self.high).contains(&tick.log10()) {
                    ticks.push(tick);
                }
            }
        }
        ticks
    }

    fn draw_below(&self, svg: &mut String, top: f64, bottom: f64, name: &str) {
        for tick in self.ticks() {
            let x = self.at(tick);
            let _ =
                writeln!(svg, r#"<path d="M{x:.1} {top}V{bottom}" stroke="{FAINT}" fill="none"/>"#);
            text(svg, x, bottom + 16.0, "middle", GREY, 12.0, &tick_label(tick));
        }
        let middle = f64::midpoint(self.from, self.to);
        text(svg, middle, bottom + 34.0, "middle", GREY, 12.0, name);
    }
}

fn tick_label(tick: f64) -> String {
    if tick < 1.0 {
        format!("{tick}")
    } else {
        number(tick.round(), "").trim_end_matches(".00").trim_end_matches(".0").to_owned()
    }
}

/// Circles for ZooKeeper, squares for the coordinator.
fn mark(svg: &mut String, engine: Engine, x: f64, y: f64, opacity: f64) {
    let fill = colour(engine);
    let _ = match engine {
        Engine::ZooKeeper => writeln!(
            svg,
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="{fill}" fill-opacity="{opacity}"/>"#
        ),
        Engine::Coordinator => writeln!(
            svg,
            r#"<rect x="{:.1}" y="{:.1}" width="8" height="8" fill="{fill}" fill-opacity="{opacity}"/>"#,
            x - 4.0,
            y - 4.0
        ),
    };
}

fn open(heading: &Heading<'_>, height: f64) -> String {
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0}" width="{WIDTH}" height="{height:.0}" font-family="DejaVu Sans, Verdana, sans-serif" role="img" aria-label="{}">"#,
        escape(heading.title)
    );
    let _ = writeln!(svg, r##"<rect width="{WIDTH}" height="{height:.0}" fill="#ffffff"/>"##);
    text(&mut svg, 16.0, 26.0, "start", INK, 17.0, heading.title);
    text(&mut svg, 16.0, 46.0, "start", GREY, 12.5, heading.subtitle);
    svg
}

fn legend(svg: &mut String) {
    for (index, engine) in Engine::BOTH.into_iter().enumerate() {
        let x = WIDTH - 220.0 + 102.0 * index as f64;
        mark(svg, engine, x, 62.0, 1.0);
        text(svg, x + 9.0, 66.0, "start", INK, 12.0, engine.name());
    }
}

fn close(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, fill: &str, size: f64, words: &str) {
    let _ = writeln!(
        svg,
        r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">{}</text>"#,
        escape(words)
    );
}

fn escape(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
