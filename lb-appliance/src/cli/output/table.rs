//! Tables: aligned columns with two blanks between them, no lines, no blanks at the end.

/// Side on which a column is aligned: text left, numbers right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Align {
    /// Left.
    Left,
    /// Right.
    Right,
}

/// A table for people.
#[derive(Clone, Debug)]
pub struct Table {
    columns: Vec<(String, Align)>,
    rows: Vec<Vec<String>>,
}

const GAP: &str = "  ";

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&str, Align)]) -> Self {
        Self {
            columns: columns.iter().map(|(name, align)| ((*name).to_owned(), *align)).collect(),
            rows: vec![],
        }
    }

    /// Adds a row, one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The whole text, a line feed after each row.
    pub fn text(&self) -> String {
        let head: Vec<String> = self.columns.iter().map(|(name, _)| name.clone()).collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            lines.iter().filter_map(|cells| cells.get(column)).map(|cell| shown(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let mut text = String::new();
        for cells in lines {
            let mut line = String::new();
            for ((cell, (_, align)), width) in cells.iter().zip(&self.columns).zip(&widths) {
                if !line.is_empty() {
                    line += GAP;
                }
                let blanks = " ".repeat(width.saturating_sub(shown(cell)));
                match align {
                    Align::Left => line += &(cell.clone() + &blanks),
                    Align::Right => line += &(blanks + cell),
                }
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }
}

/// Columns that a cell takes: its characters without colours.
fn shown(cell: &str) -> usize {
    let mut count = 0;
    let mut characters = cell.chars();
    while let Some(character) = characters.next() {
        if character == '\x1b' {
            // Up to the letter that ends the sequence.
            characters.by_ref().find(char::is_ascii_alphabetic);
        } else {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_colours_take_no_room() {
        let mut table = Table::new(&[("NAME", Align::Left), ("FLOWS", Align::Right), ("STATE", Align::Left)]);
        table.row(["a".into(), "1".into(), "\x1b[32mup\x1b[0m".into()]);
        table.row(["longer".into(), "123456".into(), "drain".into()]);
        assert_eq!(
            table.text(),
            "NAME     FLOWS  STATE\na            1  \x1b[32mup\x1b[0m\nlonger  123456  drain\n"
        );
    }
}
