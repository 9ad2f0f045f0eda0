//! Layout of every page.

use http::{Response, StatusCode};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::headers::secure_page;
use crate::http::Links;
use crate::text::mark_invisible;

/// Style of all pages.
pub(super) const STYLE: &str = include_str!("style.css");

/// Entry of the navigation.
#[derive(Debug, Clone, Copy)]
pub struct Tab {
    /// Path of the page within the API.
    pub path: &'static str,
    /// Name of the page.
    pub name: &'static str,
}

/// A page before it is rendered.
pub struct Page<'a> {
    /// Title of the page.
    pub title: &'a str,
    /// Address of the API.
    pub links: &'a Links,
    /// Entries of the navigation. Without entries, there is no navigation.
    pub tabs: &'a [Tab],
    /// Path of the tab that this page belongs to.
    pub here: &'a str,
    /// Signed-in user, shown at the end of the header.
    pub who: Option<Markup>,
    /// Seconds after which the browser reloads the page.
    pub refresh_secs: Option<u32>,
    /// Content below the title.
    pub content: Markup,
}

impl Page<'_> {
    /// Renders the page as a response, with invisible characters marked.
    pub fn into_response(self, status: StatusCode) -> Response<String> {
        let links = self.links;
        let page = mark_invisible(&self.render().into_string(), |it| matches!(it, '\n' | '\t'));
        let mut response = Response::new(page);
        *response.status_mut() = status;
        secure_page(response.headers_mut(), links);
        response
    }

    fn render(self) -> Markup {
        let Self { title, links, tabs, here, who, refresh_secs, content } = self;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    @if let Some(secs) = refresh_secs {
                        meta http-equiv="refresh" content=(secs);
                    }
                    title { (title) " – Levee" }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    a.skip href="#content" { "Skip to the content" }
                    header.top {
                        span.brand { "Levee" }
                        @if !tabs.is_empty() {
                            nav aria-label="Pages" {
                                ul {
                                    @for tab in tabs {
                                        @let current = (tab.path == here).then_some("page");
                                        li { a href=(links.to(tab.path)) aria-current=[current] { (tab.name) } }
                                    }
                                }
                            }
                        }
                        @if let Some(who) = who { div.who { (who) } }
                    }
                    main id="content" {
                        h1 { (title) }
                        (content)
                    }
                    footer.bottom { "Times are in UTC." }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(title: &str, path: &str) -> Response<String> {
        let links = Links::configured("https://levee.example/prod").unwrap();
        let tabs = [Tab { path: "/admin", name: "Board" }, Tab { path: "/admin/errors", name: "Errors" }];
        let content = html! { p { "<b>" } };
        let page = Page { title, links: &links, tabs: &tabs, here: path, who: None, refresh_secs: Some(30), content };
        page.into_response(StatusCode::OK)
    }

    #[test]
    fn a_page_carries_the_style_that_its_policy_names_and_nothing_that_it_forbids() {
        let page = page("T", "/admin");
        let (_, rest) = page.body().split_once("<style>").unwrap();
        assert_eq!(rest.split_once("</style>").unwrap().0, STYLE);
        assert!(page.headers().contains_key("content-security-policy"));
        assert!(!page.body().contains("<script") && !page.body().contains("style="), "nothing that the policy forbids");
    }

    #[test]
    fn a_page_escapes_its_text_and_leads_to_pages_under_its_own_prefix() {
        let page = page("<script>", "/admin/errors");
        insta::assert_snapshot!(page.body().replace(STYLE, "…"), @r##"<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta http-equiv="refresh" content="30"><title>&lt;script&gt; – Levee</title><style>…</style></head><body><a class="skip" href="#content">Skip to the content</a><header class="top"><span class="brand">Levee</span><nav aria-label="Pages"><ul><li><a href="/prod/admin">Board</a></li><li><a href="/prod/admin/errors" aria-current="page">Errors</a></li></ul></nav></header><main id="content"><h1>&lt;script&gt;</h1><p>&lt;b&gt;</p></main><footer class="bottom">Times are in UTC.</footer></body></html>"##);
    }
}
