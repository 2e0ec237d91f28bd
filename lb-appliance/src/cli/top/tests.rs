//! The screen at 80 x 24 as text, and the keys.

use super::draw::draw;
use super::model::{App, Pane};
use super::sampler::{News, Sample};
use crate::cli::samples;
use crate::control::AdminState;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::time::{Duration, Instant};

fn sample(at: Instant, more: u64) -> News {
    let mut status = samples::status();
    for worker in &mut status.workers {
        worker.packets += more;
        worker.busy_seconds += 0.25 * (more as f64 / 1_000_000.0);
        worker.idle_seconds += 0.75 * (more as f64 / 1_000_000.0);
    }
    status.vips[0].packets += more;
    status.vips[0].bytes += more * 1_000;
    status.vips[0].connections += more / 1_000;
    status.dropped[0].packets += more / 1_000_000;
    let mut pools = samples::pools();
    pools[0].backends[0].packets += more;
    News::Sample(Box::new(Sample { at, status, pools, events: samples::events() }))
}

fn app() -> App {
    let mut app = App::new(false);
    let at = Instant::now();
    app.take(sample(at, 0));
    app.take(sample(at + Duration::from_secs(2), 2_000_000));
    app
}

fn screen(app: &mut App, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("terminal");
    terminal.draw(|frame| draw(frame, app)).expect("draw");
    let buffer = terminal.backend().buffer().clone();
    let line =
        |y: u16| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
    (0..height).map(line).collect()
}

fn press(app: &mut App, code: KeyCode) -> Option<super::sampler::Order> {
    app.on_key(KeyEvent::new(code, KeyModifiers::NONE))
}

#[test]
fn everything_fits_on_80_by_24() {
    let mut app = app();
    samples::golden("top-80x24.txt", &screen(&mut app, 80, 24));
    press(&mut app, KeyCode::Down);
    press(&mut app, KeyCode::Char('d'));
    samples::golden("top-question.txt", &screen(&mut app, 80, 24));
}

#[test]
fn any_size_can_be_drawn() {
    for (width, height) in [(1, 1), (10, 3), (20, 10), (40, 24), (300, 100)] {
        screen(&mut app(), width, height);
        screen(&mut App::new(true), width, height);
    }
}

#[test]
fn an_order_needs_a_yes() {
    let mut app = app();
    assert_eq!(press(&mut app, KeyCode::Char('x')), None);
    assert_eq!(press(&mut app, KeyCode::Char('n')), None);
    assert_eq!(press(&mut app, KeyCode::Char('y')), None, "the question was answered");
    assert_eq!(press(&mut app, KeyCode::Char('x')), None);
    let order = press(&mut app, KeyCode::Char('y')).expect("an order");
    assert_eq!(
        (order.name.to_string().as_str(), order.patch.state),
        ("web/web-1", Some(AdminState::Disabled))
    );
    press(&mut app, KeyCode::Down);
    press(&mut app, KeyCode::Char('+'));
    let order = press(&mut app, KeyCode::Enter).expect("an order");
    assert_eq!((order.name.to_string().as_str(), order.patch.weight), ("web/web-2", Some(55)));
}

#[test]
fn keys_move_and_end() {
    let mut app = app();
    assert_eq!(app.focus, Pane::Backends);
    press(&mut app, KeyCode::Tab);
    assert_eq!(app.focus, Pane::Workers);
    press(&mut app, KeyCode::BackTab);
    press(&mut app, KeyCode::BackTab);
    assert_eq!(app.focus, Pane::Vips);
    for _ in 0..10 {
        press(&mut app, KeyCode::Down);
    }
    assert_eq!(app.chosen[Pane::Vips as usize], 1, "there are two");
    press(&mut app, KeyCode::Char('q'));
    assert!(app.is_over);
}

#[test]
fn a_balancer_that_is_gone_is_said_and_the_last_picture_stays() {
    let mut app = app();
    app.take(News::Lost("cannot reach guideway".into()));
    let screen = screen(&mut app, 80, 24);
    assert!(screen.contains("OLD: cannot reach guideway") && screen.contains("web/web-1"), "{screen}");
}

#[test]
fn a_counter_that_went_back_has_no_rate() {
    let mut app = app();
    app.take(sample(Instant::now() + Duration::from_secs(9), 0));
    assert_eq!(app.rate(|sample| Some(sample.status.workers[0].packets)), None);
}
