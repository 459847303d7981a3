//! Segments as lines of text. Pure: `show`, `watch` and `list` print the same lines.

use super::list::Unreadable;
use super::seen::{Seen, Thing, Who};
use crate::ui::{Align, Ink, Line, Table, flowing, words, wrapped};

/// The list of segments.
pub(super) fn list(segments: &[Seen], unreadable: &[Unreadable], width: usize) -> Vec<Line> {
    let columns = [
        ("segment", Align::Left),
        ("size", Align::Right),
        ("objects", Align::Right),
        ("alive", Align::Right),
        ("died", Align::Right),
        ("age", Align::Right),
        ("", Align::Left),
    ];
    let mut table = Table::new(columns);
    for seen in segments {
        let died = if seen.died() > 0 { Ink::Bad } else { Ink::Dim };
        let remark = if seen.outdated {
            "from before the machine was started"
        } else if seen.alive() == 0 {
            "nobody holds it"
        } else {
            ""
        };
        table.row([
            Line::of(Ink::Strong, &seen.name),
            words::bytes(seen.bytes).into(),
            seen.objects.len().to_string().into(),
            seen.alive().to_string().into(),
            Line::of(died, seen.died().to_string()),
            age(seen.age_s).into(),
            Line::of(Ink::Dim, remark),
        ]);
    }
    let mut lines = if segments.is_empty() { Vec::new() } else { table.lines() };
    for Unreadable { name, why } in unreadable {
        lines.push(Line::of(Ink::Strong, name).and(Ink::Bad, "  cannot be opened"));
        lines.extend(indented(wrapped(Ink::Dim, why, width.saturating_sub(INDENT))));
    }
    lines
}

/// What is below a name stands further to the right.
const INDENT: usize = 4;

fn indented(lines: impl IntoIterator<Item = Line>) -> impl Iterator<Item = Line> {
    lines.into_iter().map(|line| line.indented(INDENT))
}

/// Cuts a text without spaces into lines of a width, behind a comma or semicolon where there is one.
fn cut(ink: Ink, text: &str, columns: usize) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut rest: Vec<char> = text.chars().collect();
    while rest.len() > columns.max(1) {
        let room = &rest[..columns.max(1)];
        let at =
            room.iter().rposition(|letter| matches!(letter, ',' | ';' | '/')).map_or(room.len(), |at| at + 1);
        let tail = rest.split_off(at);
        lines.push(Line::of(ink, rest.into_iter().collect::<String>()));
        rest = tail;
    }
    lines.push(Line::of(ink, rest.into_iter().collect::<String>()));
    lines
}

/// One segment.
pub(super) fn segment(seen: &Seen, width: usize) -> Vec<Line> {
    let size = words::bytes(seen.bytes);
    let title = Line::of(Ink::Title, &seen.name);
    let whole =
        title.clone().and(Ink::Dim, format!("  {size} at {}, made {} ago", seen.path, age(seen.age_s)));
    let mut lines = if whole.width() <= width {
        vec![whole]
    } else {
        let mut lines = cut(Ink::Title, &seen.name, width);
        lines.push(Line::of(Ink::Dim, format!("{size}, made {} ago, at", age(seen.age_s))).indented(INDENT));
        lines.extend(indented(cut(Ink::Dim, &seen.path, width.saturating_sub(INDENT))));
        lines
    };
    if seen.outdated {
        let why = "from before the machine was started: its locks mean nothing any more";
        lines.extend(wrapped(Ink::Bad, why, width));
    }
    lines.push(Line::empty());
    lines.extend(participants(&seen.participants, seen.seats));
    lines.push(Line::empty());
    lines.extend(seen.objects.iter().flat_map(|thing| object(thing, width)));
    lines
}

fn participants(all: &[Who], seats: usize) -> Vec<Line> {
    let present: Vec<&Who> = all.iter().filter(|who| who.state != "left").collect();
    let left = all.len() - present.len();
    let mut lines = vec![Line::of(Ink::Dim, format!("{} of {seats} seats are taken", present.len()))];
    if left > 0 {
        let have = if left == 1 { "has" } else { "have" };
        lines[0].push(Ink::Dim, format!("; {left} {have} left"));
    }
    let mut table = Table::new([
        ("seat", Align::Right),
        ("process", Align::Right),
        ("program", Align::Left),
        ("", Align::Left),
        ("since", Align::Right),
    ]);
    for who in &present {
        let ink = if who.state == "died" { Ink::Bad } else { Ink::Good };
        table.row([
            who.id.as_str().into(),
            who.process.to_string().into(),
            who.program.as_str().into(),
            Line::of(ink, who.state),
            age(who.since_s).into(),
        ]);
    }
    if !present.is_empty() {
        lines.extend(table.lines());
    }
    lines
}

fn object(thing: &Thing, width: usize) -> Vec<Line> {
    let columns = width.saturating_sub(INDENT);
    let mut head = Line::of(Ink::Strong, &thing.name).and(Ink::Dim, format!("  {}", thing.kind));
    let mut lines = Vec::new();
    if !thing.layout.is_empty() {
        let layout = format!(" of {}", thing.layout);
        if head.width() + layout.chars().count() <= width {
            head.push(Ink::Dim, layout);
        } else {
            head.push(Ink::Dim, " of");
            lines.extend(indented(cut(Ink::Dim, &thing.layout, columns)));
        }
    }
    lines.insert(0, head);
    if let Some(why) = &thing.damaged {
        lines.extend(indented(wrapped(Ink::Bad, why, columns)));
    }
    let entries = thing.figures.iter().flat_map(|said| {
        let ink = if said.is_bad { Ink::Bad } else { Ink::Plain };
        let (name, value) = (format!("{} ", said.name), said.value.to_string());
        if name.chars().count() + value.chars().count() <= columns {
            vec![Line::of(Ink::Dim, name).and(ink, value)]
        } else {
            let mut lines = vec![Line::of(Ink::Dim, name)];
            lines.extend(wrapped(ink, &value, columns));
            lines
        }
    });
    lines.extend(indented(flowing(entries, "   ", columns)));
    lines
}

fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::seen::{Said, Told};

    fn example() -> Seen {
        let who = |id: &str, state| Who {
            id: id.to_owned(),
            state,
            process: 4711,
            program: "shop".to_owned(),
            since_s: 60,
        };
        let said = |name, value, is_bad| Said { name, value, is_bad };
        Seen {
            name: "shop".to_owned(),
            path: "/dev/shm/mapwright-0/shop".to_owned(),
            bytes: 1 << 20,
            age_s: 3600,
            seats: 64,
            outdated: false,
            participants: vec![who("0.1", "alive"), who("1.1", "died"), who("2.5", "left")],
            objects: vec![Thing {
                name: "stock".to_owned(),
                kind: "mutex".to_owned(),
                layout: "u64".to_owned(),
                bytes: 256,
                figures: vec![
                    said(
                        "holder",
                        Told::Who {
                            id: "1.1".to_owned(),
                            process: Some(4711),
                            program: Some("shop".to_owned()),
                            state: "died",
                        },
                        true,
                    ),
                    said("waiters", Told::Number(1234), false),
                ],
                damaged: None,
            }],
        }
    }

    #[test]
    fn a_segment_shows_who_lives_who_died_and_how_its_objects_are() {
        let text: Vec<String> = segment(&example(), 80).iter().map(Line::plain).collect();
        let text = text.join("\n");
        assert!(text.starts_with("shop  1 MiB at /dev/shm/mapwright-0/shop, made 60 min ago"), "{text}");
        assert!(text.contains("2 of 64 seats are taken; 1 has left"), "{text}");
        assert!(text.contains("4711  shop     died"), "{text}");
        assert!(
            text.contains("stock  mutex of u64\n    holder 4711 (shop), who died   waiters 1,234"),
            "{text}"
        );
    }

    #[test]
    fn the_list_has_a_line_a_segment() {
        let text: Vec<String> = list(&[example()], &[], 80).iter().map(Line::plain).collect();
        assert_eq!(text.len(), 2);
        assert!(text[1].starts_with("shop") && text[1].contains("60 min"), "{text:?}");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let mut seen = example();
        seen.path = format!("/dev/shm/{}/shop", "long".repeat(30));
        seen.outdated = true;
        let field = |index: usize| format!("field{index}:u64@{}", index * 8);
        seen.objects[0].layout = (0..20).map(field).collect::<Vec<_>>().join(",");
        seen.objects[0].damaged = Some("it is damaged, and there is much to say about it".repeat(3));
        seen.objects[0].figures[0].value = Told::Text("a word or two ".repeat(20));
        let why = "cannot open the segment: it was overwritten by somebody ".repeat(4);
        let unreadable = [Unreadable { name: "odd".to_owned(), why }];
        for width in [40, 60, 80, 132] {
            let lines = segment(&seen, width).into_iter().chain(list(&[], &unreadable, width));
            for line in lines {
                assert!(line.width() <= width, "{width}: {}", line.plain());
            }
        }
    }

    #[test]
    fn figures_are_numbers_and_people_in_json() {
        let json = serde_json::to_value(&example().objects[0].figures).unwrap();
        assert_eq!((&json[1]["value"], &json[0]["value"]["process"]), (&1234.into(), &4711.into()));
        assert_eq!((&json[0]["value"]["id"], &json[0]["value"]["state"]), (&"1.1".into(), &"died".into()));
    }
}
