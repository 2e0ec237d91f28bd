//! A page of the documentation as a sequence of blocks, and which of them are commands that a test must run.
//!
//! What must hold: on a page whose commands are executed, every command block either says `run` in its info string or
//! stands behind a comment that says why it is not. There is no third kind, so nothing is left out in silence.
//!
//! ````text
//! ```sh run                     run by bash; must succeed
//! ```sh run exit=5              must end with this status
//! ```sh run background          goes on while the following blocks run; ended at the end of the page
//! ```console run                lines with `$ ` are run, the others are what must be seen, in this order; `...` stands for any text
//! <!-- run: COMMANDS -->        run, but not shown: what a reader would do by hand
//! <!-- not run: REASON -->      in front of a block: it cannot run here
//! <!-- not checked: REASON -->  in front of a yaml block: it is no configuration of Guideway, or a piece of one
//! ````

use crate::source::Source;

/// The pages whose commands are executed, by `tests/tests/e2e_docs.rs`.
pub const EXECUTED: [&str; 4] =
    ["README.md", "docs/quick-start.md", "docs/operations.md", "docs/troubleshooting.md"];

/// Languages whose blocks are commands; a block without a language could be anything, so it counts.
const COMMANDS: [&str; 5] = ["", "sh", "bash", "shell", "console"];
/// How comments begin that say something about the block behind them.
const FOR_A_BLOCK: [&str; 2] = ["not run:", "not checked:"];
/// Shortest reason that can mean something.
const REASON_CHARACTERS_MIN: usize = 10;

/// What is to be done with a step of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Run it; it must end with this status, and show these lines, of which each `...` stands for any text.
    Run {
        /// Text for bash.
        commands: String,
        /// The status it must end with.
        status: i32,
        /// What it must show, in this order.
        shows: Vec<String>,
    },
    /// Start it and go on.
    Background(String),
    /// It is not run, for this reason.
    Not(String),
}

/// A step with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// `path:line` of the block.
    pub place: String,
    /// What to do.
    pub step: Step,
}

/// A fenced block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Line of the opening fence, from 1.
    pub line: usize,
    /// What stands behind the fence.
    pub info: String,
    /// The text inside.
    pub text: String,
    /// The comment in front of it, without its brackets.
    pub comment: Option<String>,
}

impl Block {
    /// The first word of the info string.
    #[must_use]
    pub fn language(&self) -> &str {
        self.info.split_whitespace().next().unwrap_or_default()
    }
}

/// All fenced blocks, and comments between them as blocks without an info string whose text is empty.
#[must_use]
pub fn blocks(source: &Source) -> Vec<Block> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    let mut comment: Option<(usize, String)> = None;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at].trim();
        let begun = at;
        if let Some(opened) = line.strip_prefix("<!--") {
            let mut text = opened.to_owned();
            while !text.contains("-->") && at + 1 < lines.len() {
                at += 1;
                text = text + "\n" + lines[at];
            }
            keep(&mut found, comment.take());
            comment = Some((begun + 1, text.replace("-->", "").trim().to_owned()));
        } else if let Some(info) = line.strip_prefix("```") {
            let indent = lines[at].len() - lines[at].trim_start().len();
            let fence = &line[..line.len() - info.trim_start_matches('`').len()];
            let inside = lines[at + 1..].iter().take_while(|line| line.trim() != fence);
            let inside: Vec<&str> = inside.map(|line| line.get(indent..).unwrap_or_default()).collect();
            at += inside.len() + 1;
            let info = info.trim_start_matches('`').trim().to_owned();
            let is_for_it = comment
                .as_ref()
                .is_some_and(|(_, text)| FOR_A_BLOCK.iter().any(|begin| text.starts_with(begin)));
            let own = if is_for_it { comment.take().map(|(_, text)| text) } else { None };
            keep(&mut found, comment.take());
            let text = inside.join("\n");
            found.push(Block { line: begun + 1, info, text, comment: own });
        }
        at += 1;
    }
    keep(&mut found, comment);
    found
}

/// A comment that belongs to no block.
fn keep(found: &mut Vec<Block>, comment: Option<(usize, String)>) {
    if let Some((line, text)) = comment {
        found.push(Block { line, info: String::new(), text: String::new(), comment: Some(text) });
    }
}

/// The text without fenced blocks, code spans and comments; lines stay where they were.
#[must_use]
pub fn prose(text: &str) -> String {
    let (mut out, mut fence, mut is_comment) = (String::new(), None::<String>, false);
    for line in text.lines() {
        let marks: String = line.trim_start().chars().take_while(|letter| *letter == '`').collect();
        match (&fence, marks.len()) {
            (None, 3..) => fence = Some(marks),
            (Some(open), _) if line.trim() == open => fence = None,
            (Some(_), _) => {}
            (None, _) => out += &outside(line, &mut is_comment),
        }
        out.push('\n');
    }
    out
}

/// What of a line is neither code span nor comment.
fn outside(line: &str, is_comment: &mut bool) -> String {
    let (mut out, mut rest) = (String::new(), line);
    loop {
        let (end, next) = if *is_comment { ("-->", false) } else { ("<!--", true) };
        let (part, after) = rest.split_once(end).map_or((rest, None), |(part, after)| (part, Some(after)));
        if !*is_comment {
            out.extend(part.split('`').step_by(2));
        }
        match after {
            Some(after) => (rest, *is_comment) = (after, next),
            None => return out,
        }
    }
}

/// What a page asks to run, in order.
///
/// # Errors
/// Every block that says neither `run` nor why not, each with its place.
pub fn steps(source: &Source) -> Result<Vec<Placed>, Vec<String>> {
    let (mut steps, mut unmarked) = (Vec::new(), Vec::new());
    for block in blocks(source) {
        let place = format!("{}:{}", source.path, block.line);
        match step(&block) {
            Ok(Some(step)) => steps.push(Placed { place, step }),
            Ok(None) => {}
            Err(why) => unmarked.push(format!("{place}: {why}")),
        }
    }
    if unmarked.is_empty() { Ok(steps) } else { Err(unmarked) }
}

fn step(block: &Block) -> Result<Option<Step>, String> {
    if block.text.is_empty() && block.info.is_empty() {
        let comment = block.comment.as_deref().unwrap_or_default();
        let hidden = comment.strip_prefix("run:").map(|commands| commands.trim().to_owned());
        return if comment.starts_with("not run:") {
            Err("a reason without a block behind it".to_owned())
        } else {
            Ok(hidden.map(|commands| Step::Run { commands, status: 0, shows: Vec::new() }))
        };
    }
    if !COMMANDS.contains(&block.language()) {
        return Ok(None);
    }
    let words: Vec<&str> = block.info.split_whitespace().skip(1).collect();
    let reason = block.comment.as_deref().and_then(|text| text.strip_prefix("not run:")).map(str::trim);
    match (words.split_first(), reason) {
        (None, Some(reason)) if reason.len() >= REASON_CHARACTERS_MIN => {
            Ok(Some(Step::Not(reason.to_owned())))
        }
        (None, Some(_)) => Err("the reason says nothing".to_owned()),
        (None, None) => {
            Err("neither `run` in the info string nor `<!-- not run: REASON -->` in front".to_owned())
        }
        (Some((&"run", [])), None) if block.language() == "console" => Ok(Some(console(&block.text)?)),
        (Some((&"run", ["background"])), None) => Ok(Some(Step::Background(block.text.clone()))),
        (Some((&"run", options)), None) => {
            let mut status = 0;
            for option in options {
                let number = option.strip_prefix("exit=").and_then(|number| number.parse().ok());
                status = number.ok_or_else(|| format!("unknown word in the info string: {option}"))?;
            }
            Ok(Some(Step::Run { commands: block.text.clone(), status, shows: Vec::new() }))
        }
        (Some((&"run", _)), Some(_)) => Err("both `run` and a reason why not".to_owned()),
        (Some((word, _)), _) => Err(format!("unknown word in the info string: {word}")),
    }
}

/// `$ command` and what it shows.
fn console(text: &str) -> Result<Step, String> {
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    if commands.is_empty() {
        return Err("a console block without a line that begins with `$ `".to_owned());
    }
    let shows = text.lines().filter(|line| !line.starts_with("$ ") && !line.trim().is_empty());
    let shows = shows.map(|line| line.trim_end().to_owned()).collect();
    Ok(Step::Run { commands: commands.join("\n"), status: 0, shows })
}

/// The first of the wanted lines that is not in the output behind those before it.
#[must_use]
pub fn first_missing<'a>(shows: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines().map(str::trim_end);
    let mut is_there = |wanted: &str| wanted.trim() == "..." || lines.any(|line| is_like(wanted, line));
    shows.iter().find(|wanted| !is_there(wanted)).map(String::as_str)
}

/// Whether a line is the wanted one; `...` stands for any text, and runs of blanks are equal.
fn is_like(wanted: &str, line: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (wanted, line) = (squeeze(wanted), squeeze(line));
    let parts: Vec<&str> = wanted.split("...").map(str::trim).collect();
    let Some((first, rest)) = parts.split_first() else { return line.is_empty() };
    let Some(mut left) = line.strip_prefix(first) else { return false };
    let Some((last, middle)) = rest.split_last() else { return left.is_empty() };
    for part in middle {
        match left.find(part) {
            Some(at) => left = &left[at + part.len()..],
            None => return false,
        }
    }
    left.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(text: &str) -> Source {
        Source { path: "page.md".to_owned(), text: text.to_owned() }
    }

    #[test]
    fn steps_come_in_order_with_what_they_must_do() {
        let text = "<!-- run: prepare\nmore -->\n\n```sh run exit=5\na\nb\n```\n\n```yaml\nx: 1\n```\n\n<!-- not run: needs a NIC -->\n```sh\nc\n```\n\n```sh run background\nd\n```\n```console run\n$ e\nf ... g\n```\n";
        let steps = steps(&page(text)).expect("all are marked");
        let run = |commands: &str, status| Step::Run { commands: commands.into(), status, shows: vec![] };
        let found: Vec<Step> = steps.into_iter().map(|placed| placed.step).collect();
        let console = Step::Run { commands: "e".into(), status: 0, shows: vec!["f ... g".into()] };
        let wanted = [
            run("prepare\nmore", 0),
            run("a\nb", 5),
            Step::Not("needs a NIC".into()),
            Step::Background("d".into()),
            console,
        ];
        assert_eq!(found, wanted);
    }

    #[test]
    fn a_block_without_a_mark_is_an_error_with_its_place() {
        for (text, line) in [
            ("text\n\n```sh\na\n```\n", 3),
            ("```\na\n```\n", 1),
            ("```sh walk\na\n```\n", 1),
            ("<!-- not run: no -->\n```sh\na\n```\n", 2),
            ("<!-- not run: a good reason -->\n```sh run\na\n```\n", 2),
            ("<!-- not run: a good reason -->\nthe end\n", 1),
            ("```console run\na\n```\n", 1),
            ("```sh run exit=x\na\n```\n", 1),
        ] {
            let errors = steps(&page(text)).expect_err(text);
            assert!(errors[0].starts_with(&format!("page.md:{line}: ")), "{text}: {errors:?}");
        }
    }

    #[test]
    fn prose_has_no_code() {
        assert_eq!(prose("# a `b`\n```sh\n# c\n```\nd <!-- e\nf --> g\n"), "# a \n\n\n\nd \n g\n");
    }

    #[test]
    fn lines_are_found_in_order_and_dots_stand_for_any_text() {
        let output = "one   two\nthree 3.14 s\nfour\n";
        let all = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        assert_eq!(first_missing(&all(&["one two", "...", "three ... s", "four"]), output), None);
        assert_eq!(first_missing(&all(&["four", "one two"]), output), Some("one two"));
        assert_eq!(first_missing(&all(&["three ... m"]), output), Some("three ... m"));
        assert_eq!(first_missing(&all(&["one"]), output), Some("one"));
    }
}
