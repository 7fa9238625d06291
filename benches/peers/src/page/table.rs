//! A table in Markdown: a column of names, then columns of figures.

use std::fmt::Write as _;

use crate::peer::OURS;

#[derive(Debug)]
pub(super) struct Table(String);

impl Table {
    pub(super) fn new<T: AsRef<str>>(heads: &[T]) -> Table {
        let mut text = String::from("| |");
        for head in heads {
            let _ = write!(text, " {} |", head.as_ref());
        }
        text.push_str("\n|---|");
        text.push_str(&"---:|".repeat(heads.len()));
        text.push('\n');
        Table(text)
    }

    /// Adds a row. The row of this crate is bold. A cell without a value is a dash.
    pub(super) fn row(&mut self, name: &str, cells: impl IntoIterator<Item = Option<String>>) {
        let bold = if name == OURS { "**" } else { "" };
        let _ = write!(self.0, "| {bold}{name}{bold} |");
        for cell in cells {
            let _ = match cell {
                Some(cell) => write!(self.0, " {cell} |"),
                None => write!(self.0, " – |"),
            };
        }
        self.0.push('\n');
    }

    pub(super) fn finish(self) -> String {
        self.0
    }
}
