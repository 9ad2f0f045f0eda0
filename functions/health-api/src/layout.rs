//! Parts that several pages of the board share.

use levee::http::Links;
use levee::web::{self, Answer};
use maud::{Markup, html};
use url::form_urlencoded::byte_serialize;

use crate::site::{Call, SignedIn};

/// Creates a page for a signed-in admin; `here` is the path of its tab.
pub(crate) fn page(call: &Call<'_>, admin: &SignedIn, here: &str, title: &str, content: Markup) -> Answer {
    web::signed_in(call, admin, here, title, None, content)
}

/// Returns the link to the story of a request. The id is encoded, as it may hold slashes and equals signs.
pub(crate) fn story_link(links: &Links, request_id: &str) -> String {
    let id: String = byte_serialize(request_id.as_bytes()).collect();
    format!("{}?id={id}", links.to("/admin/requests"))
}

/// Renders a request's id as a link to its story; renders nothing without an id.
pub(crate) fn story(links: &Links, request_id: Option<&str>) -> Markup {
    html! {
        @if let Some(id) = request_id { a href=(story_link(links, id)) { code { (id) } } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_escaped_in_its_link_and_in_the_page() {
        let links = Links::configured("https://levee.example/prod").unwrap();
        assert_eq!(story_link(&links, "/I35jLf+A2CvdI="), "/prod/admin/requests?id=%2FI35jLf%2BA2CvdI%3D");
        assert_eq!(
            story(&links, Some("<b>")).into_string(),
            r#"<a href="/prod/admin/requests?id=%3Cb%3E"><code>&lt;b&gt;</code></a>"#
        );
        assert_eq!(story(&links, None).into_string(), "");
    }
}
