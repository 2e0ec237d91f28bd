//! The screen: header, VIPs, backends, workers beside drops, events, and one line at the bottom.

use super::model::{App, Pane};
use super::sampler::Sample;
use crate::admin::WorkerRuntime;
use crate::cli::output::units;
use crate::cli::runtime::difference;
use crate::control::view::{BackendStatus, VipStatus, WorkerStatus};
use ratatui::Frame;
use ratatui::layout::{Alignment, Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState};

const KEYS: &str = "tab/arrows move  d drain  u undrain  x disable  e enable  +/- weight  q quit";

/// Draws everything.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let areas = Layout::vertical([
        Constraint::Length(1),
        Constraint::Fill(5),
        Constraint::Fill(8),
        Constraint::Fill(5),
        Constraint::Fill(4),
        Constraint::Length(1),
    ])
    .split(frame.area());
    header(frame, areas[0], app);
    vips(frame, areas[1], app);
    backends(frame, areas[2], app);
    let halves = Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).spacing(1);
    let halves = halves.split(areas[3]);
    workers(frame, halves[0], app);
    drops(frame, halves[1], app);
    events(frame, areas[4], app);
    bottom(frame, areas[5], app);
}

/// A colour, or without colours nothing; meaning never hangs on colour alone.
fn painted(app: &App, colour: Color) -> Style {
    if app.has_colour { Style::new().fg(colour) } else { Style::new() }
}

fn header(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let Some(sample) = &app.now else {
        return frame.render_widget(Paragraph::new("guideway top: waiting for the balancer ..."), area);
    };
    let status = &sample.status;
    let rate = app.rate(|sample| Some(sample.status.workers.iter().map(|worker| worker.packets).sum()));
    let flows: u64 = status.vips.iter().map(|vip| vip.active_connections).sum();
    let text = format!(
        "{}  up {}  gen {} ({}/{})  {} pkt/s  {} flows",
        status.node,
        units::duration(status.uptime_seconds),
        status.generation,
        status.seen,
        status.workers.len(),
        rate.map_or("-".into(), units::rate),
        units::count(flows),
    );
    let trial = status.pending_confirmation.as_ref();
    let mut spans = vec![Span::styled(text, Style::new().add_modifier(Modifier::BOLD))];
    if let Some(pending) = trial {
        let left = units::duration(pending.remaining_seconds);
        spans.push(Span::styled(format!("  ON TRIAL {left}"), painted(app, Color::Yellow)));
    }
    match status.problems.as_slice() {
        [] => {}
        [problem] => spans.push(Span::styled(format!("  ! {problem}"), painted(app, Color::Red))),
        problems => {
            let text = format!("  {} problems: {}", problems.len(), problems[0]);
            spans.push(Span::styled(text, painted(app, Color::Red)));
        }
    }
    frame.render_widget(Line::from(spans), area);
}

/// One column: its name, its width, whether numbers stand in it.
type Column = (&'static str, Constraint, bool);

fn pane(
    frame: &mut Frame<'_>,
    area: Rect,
    app: &App,
    pane: Pane,
    columns: &[Column],
    rows: Vec<Vec<Cell<'static>>>,
) {
    let name = format!(" {pane:?} ({}) ", rows.len());
    let is_focus = app.focus == pane;
    let marked = if is_focus { Modifier::BOLD | Modifier::REVERSED } else { Modifier::BOLD };
    let block =
        Block::new().borders(Borders::TOP).title(Span::styled(name, Style::new().add_modifier(marked)));
    let aligned = |name: &'static str, is_number: bool| {
        Text::from(name).alignment(if is_number { Alignment::Right } else { Alignment::Left })
    };
    let head = columns.iter().map(|(name, _, is_number)| Cell::from(aligned(name, *is_number)));
    let table = Table::new(rows.into_iter().map(Row::new), columns.iter().map(|(_, width, _)| *width))
        .header(Row::new(head).style(Style::new().add_modifier(Modifier::DIM)))
        .block(block)
        .column_spacing(1);
    // The choice among backends stays visible: keys act on it from everywhere.
    let is_marked = is_focus || pane == Pane::Backends;
    let table = if is_marked {
        table.row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
    } else {
        table
    };
    let mut state = TableState::new().with_selected(Some(app.chosen[pane as usize]));
    frame.render_stateful_widget(table, area, &mut state);
}

fn text(text: impl Into<String>) -> Cell<'static> {
    Cell::from(text.into())
}

fn number(text: String) -> Cell<'static> {
    Cell::from(Text::from(text).alignment(Alignment::Right))
}

fn rate(rate: Option<f64>) -> Cell<'static> {
    number(rate.map_or("-".into(), units::rate))
}

fn vips(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let columns = [
        ("NAME", Constraint::Fill(1), false),
        ("STATE", Constraint::Length(8), false),
        ("BACKENDS", Constraint::Length(9), true),
        ("FLOWS", Constraint::Length(7), true),
        ("NEW/S", Constraint::Length(7), true),
        ("PKT/S", Constraint::Length(7), true),
        ("BIT/S", Constraint::Length(10), true),
        ("DROP/S", Constraint::Length(7), true),
    ];
    let row = |vip: &VipStatus| {
        let of = |counter: fn(&VipStatus) -> u64| {
            app.rate(|sample| sample.status.vips.iter().find(|other| other.name == vip.name).map(counter))
        };
        let (state, colour) = match (vip.serving, vip.panic) {
            (true, false) => ("serving", Color::Green),
            (true, true) => ("panic", Color::Yellow),
            (false, _) => ("down", Color::Red),
        };
        vec![
            text(vip.name.clone()),
            text(state).style(painted(app, colour)),
            number(format!("{}/{}", vip.healthy_backends, vip.backends)),
            number(units::count(vip.active_connections)),
            rate(of(|vip| vip.connections)),
            rate(of(|vip| vip.packets)),
            number(of(|vip| vip.bytes).map_or("-".into(), units::bit_rate)),
            rate(of(|vip| vip.dropped)),
        ]
    };
    let rows = app.now.iter().flat_map(|sample| &sample.status.vips).map(row).collect();
    pane(frame, area, app, Pane::Vips, &columns, rows);
}

fn backends(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let columns = [
        ("NAME", Constraint::Fill(2), false),
        ("STATE", Constraint::Length(11), false),
        ("REASON", Constraint::Fill(1), false),
        ("WEIGHT", Constraint::Length(7), true),
        ("SHARE", Constraint::Length(7), true),
        ("FLOWS", Constraint::Length(7), true),
        ("PKT/S", Constraint::Length(7), true),
    ];
    let row = |backend: &BackendStatus| {
        let packets = app.rate(|sample| find(sample, backend).map(|found| found.packets));
        let colour = match backend.state.as_str() {
            "up" => Color::Green,
            "down" => Color::Red,
            _ => Color::Yellow,
        };
        let is_drained = backend.drained && backend.state == "drain";
        let state = if is_drained { "drained".to_owned() } else { backend.state.clone() };
        vec![
            text(format!("{}/{}", backend.pool, backend.name)),
            text(state).style(painted(app, colour)),
            text(backend.reason.clone()),
            number(units::weight(backend.weight)),
            number(units::percent(backend.share)),
            number(units::count(backend.active_connections)),
            rate(packets),
        ]
    };
    let rows = app.backends().map(row).collect();
    pane(frame, area, app, Pane::Backends, &columns, rows);
}

fn find<'s>(sample: &'s Sample, backend: &BackendStatus) -> Option<&'s BackendStatus> {
    let pool = sample.pools.iter().find(|pool| pool.name == backend.pool)?;
    pool.backends.iter().find(|other| other.name == backend.name)
}

fn workers(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let columns = [
        ("CPU", Constraint::Fill(1), false),
        ("BUSY", Constraint::Length(8), true),
        ("PKT/S", Constraint::Length(7), true),
        ("NS/PKT", Constraint::Length(7), true),
        ("FLOWS", Constraint::Length(7), true),
    ];
    let row = |worker: &WorkerStatus| {
        let before = app.before.iter().flat_map(|sample| &sample.status.workers);
        let before = before.into_iter().find(|other| other.worker == worker.worker);
        let now = WorkerRuntime::from(worker.clone());
        let between = before.map(|before| difference(&now, &before.clone().into()));
        let packets = app.rate(|sample| {
            sample
                .status
                .workers
                .iter()
                .find(|other| other.worker == worker.worker)
                .map(|found| found.packets)
        });
        let busy = between.as_ref().and_then(|between| between.busy_ratio);
        let time = between.as_ref().and_then(|between| between.nanoseconds_per_packet);
        vec![
            text(worker.worker.clone()),
            number(busy.map_or("-".into(), units::percent)),
            rate(packets),
            number(time.map_or("-".into(), |time| format!("{time:.0}"))),
            number(units::count(worker.entries)),
        ]
    };
    let rows = app.now.iter().flat_map(|sample| &sample.status.workers).map(row).collect();
    pane(frame, area, app, Pane::Workers, &columns, rows);
}

fn drops(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let columns = [
        ("REASON", Constraint::Fill(1), false),
        ("PACKETS", Constraint::Length(8), true),
        ("PER S", Constraint::Length(8), true),
    ];
    let row = |drop: &crate::control::view::DropCount| {
        let per_second = app.rate(|sample| {
            let found = sample.status.dropped.iter().find(|other| other.reason == drop.reason);
            // What has not been counted yet is 0.
            Some(found.map_or(0, |found| found.packets))
        });
        vec![text(drop.reason.clone()), number(units::count(drop.packets)), rate(per_second)]
    };
    let rows = app.now.iter().flat_map(|sample| &sample.status.dropped).map(row).collect();
    pane(frame, area, app, Pane::Drops, &columns, rows);
}

/// The latest first.
fn events(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let columns = [
        ("TIME (UTC)", Constraint::Length(10), false),
        ("OBJECT", Constraint::Fill(1), false),
        ("WHAT", Constraint::Fill(3), false),
    ];
    let row = |event: &crate::control::view::Event| {
        let colour = match event.severity.as_str() {
            "error" => Color::Red,
            "warning" => Color::Yellow,
            _ => Color::Reset,
        };
        let instant = units::instant(event.at_seconds);
        let time = instant.split(' ').nth(1).unwrap_or_default().to_owned();
        vec![text(time), text(event.object.clone()), text(event.message.clone()).style(painted(app, colour))]
    };
    let rows = app.now.iter().flat_map(|sample| sample.events.iter().rev()).map(row).collect();
    pane(frame, area, app, Pane::Events, &columns, rows);
}

fn bottom(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let line = match (&app.question, &app.lost, &app.message) {
        (Some(question), _, _) => {
            let style = painted(app, Color::Yellow).add_modifier(Modifier::BOLD);
            Line::styled(format!("{} (y/n)", question.text), style)
        }
        (None, Some(lost), _) => Line::styled(format!("OLD: {lost}"), painted(app, Color::Red)),
        (None, None, Some(message)) => Line::raw(message.clone()),
        (None, None, None) => Line::styled(KEYS, Style::new().add_modifier(Modifier::DIM)),
    };
    frame.render_widget(line, area);
}
