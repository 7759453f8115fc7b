//! `GET /v1/screen`: what the agent's terminal shows now, as text, as a page or as data.

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::{Value, json};

use crate::{
    app::App,
    http::{error::Problem, fields::Issues, query::Query},
    model::{Color, Screen, Style},
    os::clock,
    tracker::Picture,
};

const FORMATS: [&str; 3] = ["text", "html", "json"];

pub(in crate::http) async fn show(
    State(app): State<App>,
    RawQuery(query): RawQuery,
) -> Result<Response<Body>, Problem> {
    let mut issues = Issues::default();
    let query = Query::read(query.as_deref(), &["format"], &mut issues);
    let format = query.text("format").unwrap_or("text").to_owned();
    if !FORMATS.contains(&format.as_str()) {
        query.wrong("format", "Value error, it should be `text`, `html` or `json`", &mut issues);
    }
    issues.settle(Some(()))?;
    let picture = app.eyes.picture().await.map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the agent's pane could not be looked at: {error}"))
    })?;
    Ok(match format.as_str() {
        "html" => typed("text/html; charset=utf-8", page(&picture)),
        "json" => axum::Json(data(&picture)).into_response(),
        _ => typed("text/plain; charset=utf-8", text(&picture.screen)),
    })
}

/// Colours stand in style attributes; nothing else of a page may come from anywhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";

fn typed(kind: &'static str, body: String) -> Response<Body> {
    let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), body).into_response()
}

fn text(screen: &Screen) -> String {
    let mut text = screen.texts().join("\n");
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn data(picture: &Picture) -> Value {
    let screen = &picture.screen;
    json!({
        "schema_version": 1,
        "observed_at_utc": clock::now().iso_millis(),
        "pane_id": picture.pane.to_string(),
        "title": screen.title,
        "command": picture.command,
        "dead": picture.dead,
        "in_mode": picture.in_mode,
        "width": screen.width,
        "height": screen.height,
        "cursor": { "x": screen.cursor_x, "y": screen.cursor_y, "shown": screen.cursor_shown },
        "alternate": screen.alternate,
        "rows": screen.texts(),
    })
}

/// One page: title, a line about the pane, and the rows with their colours.
fn page(picture: &Picture) -> String {
    let screen = &picture.screen;
    let mut body = String::new();
    for row in &screen.rows {
        for run in &row.runs {
            let style = css(run.style);
            if style.is_empty() {
                body.push_str(&escaped(&run.text));
            } else {
                body.extend([format!("<span style=\"{style}\">{}</span>", escaped(&run.text))]);
            }
        }
        body.push('\n');
    }
    let title = escaped(if screen.title.is_empty() { &picture.command } else { &screen.title });
    let mut state = format!("{} {}, {}×{}", picture.pane, picture.command, screen.width, screen.height);
    for (is_so, word) in
        [(picture.dead, "ended"), (picture.in_mode, "copy mode"), (screen.alternate, "alternate screen")]
    {
        if is_so {
            state.push_str(", ");
            state.push_str(word);
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n\
         <body style=\"background:#1e1e1e;color:#d4d4d4\">\n<h1 style=\"font:bold 14px sans-serif\">{title}</h1>\n\
         <p style=\"font:12px sans-serif\">{} · {}</p>\n\
         <pre style=\"font:14px monospace\">{}</pre>\n</body></html>\n",
        escaped(&state),
        clock::now().iso_seconds(),
        body.trim_end(),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn css(style: Style) -> String {
    let (mut front, mut back) = (style.foreground, style.background);
    let mut text = String::new();
    if style.inverse {
        (front, back) = (back, front);
        // The terminal's own colours change places, too.
        if front == Color::Default {
            text.push_str("color:#1e1e1e;");
        }
        if back == Color::Default {
            text.push_str("background:#d4d4d4;");
        }
    }
    for (color, name) in [(front, "color"), (back, "background")] {
        if let Some((red, green, blue)) = rgb(color) {
            text.extend([format!("{name}:#{red:02x}{green:02x}{blue:02x};")]);
        }
    }
    for (is_set, rule) in [
        (style.bold, "font-weight:bold;"),
        (style.dim, "opacity:.6;"),
        (style.italic, "font-style:italic;"),
        (style.underlined, "text-decoration:underline;"),
    ] {
        if is_set {
            text.push_str(rule);
        }
    }
    text
}

/// The 16 colours that themes choose, as most terminals have them.
const NAMED: [(u8, u8, u8); 16] = [
    (0, 0, 0),
    (205, 49, 49),
    (13, 188, 121),
    (229, 229, 16),
    (36, 114, 200),
    (188, 63, 188),
    (17, 168, 205),
    (229, 229, 229),
    (102, 102, 102),
    (241, 76, 76),
    (35, 209, 139),
    (245, 245, 67),
    (59, 142, 234),
    (214, 112, 214),
    (41, 184, 219),
    (255, 255, 255),
];

fn rgb(color: Color) -> Option<(u8, u8, u8)> {
    match color {
        Color::Default => None,
        Color::Rgb(red, green, blue) => Some((red, green, blue)),
        Color::Indexed(number @ 0..=15) => NAMED.get(usize::from(number)).copied(),
        // A cube of six steps each, then greys.
        Color::Indexed(number @ 16..=231) => {
            let step = |part: u8| if part == 0 { 0 } else { 55 + part * 40 };
            let cube = number - 16;
            Some((step(cube / 36), step(cube / 6 % 6), step(cube % 6)))
        }
        Color::Indexed(number) => {
            let grey = 8 + (number - 232) * 10;
            Some((grey, grey, grey))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_colours_and_nothing_of_the_programs_own_markup() {
        let rows = Screen::styled_rows(["<b>&\"\u{1b}[1;31mred\u{1b}[0;7mback", "\u{1b}[0;48;5;232;38;5;231mx"]);
        let screen = Screen { rows, width: 20, height: 2, title: "<t>".to_owned(), ..Screen::default() };
        let pane = "%3".parse().unwrap();
        let picture = Picture { pane, screen, command: "c<".to_owned(), dead: false, in_mode: true };
        let shown = page(&picture);
        for wanted in [
            "<title>&lt;t&gt;</title>",
            "%3 c&lt;, 20×2, copy mode",
            "&lt;b&gt;&amp;&quot;<span style=\"color:#cd3131;font-weight:bold;\">red</span>",
            "<span style=\"color:#1e1e1e;background:#d4d4d4;\">back</span>",
            "<span style=\"color:#ffffff;background:#080808;\">x</span>",
        ] {
            assert!(shown.contains(wanted), "{wanted}\n{shown}");
        }
        assert_eq!(text(&picture.screen), "<b>&\"redback\nx\n");
        assert_eq!(data(&picture)["rows"][1], "x");
    }
}
