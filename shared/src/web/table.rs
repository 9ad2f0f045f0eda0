//! Tables.

use maud::{Markup, html};

/// Renders a table with a caption and column heads, or a sentence if it has no rows. A narrow screen scrolls the table
/// sideways, also by keyboard.
pub fn table(caption: &str, columns: &[&str], rows: &[Markup], when_empty: &str) -> Markup {
    html! {
        @if rows.is_empty() {
            p.soft { (when_empty) }
        } @else {
            div.scroll role="region" aria-label=(caption) tabindex="0" {
                table {
                    caption { (caption) }
                    thead { tr { @for column in columns { th scope="col" { (column) } } } }
                    tbody { @for row in rows { tr { (row) } } }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_rows_is_a_sentence() {
        assert_eq!(table("Keys", &["Id"], &[], "No keys.").into_string(), r#"<p class="soft">No keys.</p>"#);
    }

    #[test]
    fn a_table_has_a_caption_and_column_heads() {
        let row = html! { td { "a&b" } };
        insta::assert_snapshot!(table("Keys", &["Id"], &[row], "No keys.").into_string(), @r#"<div class="scroll" role="region" aria-label="Keys" tabindex="0"><table><caption>Keys</caption><thead><tr><th scope="col">Id</th></tr></thead><tbody><tr><td>a&amp;b</td></tr></tbody></table></div>"#);
    }
}
