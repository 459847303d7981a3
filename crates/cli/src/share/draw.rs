//! Segments as lines of text. Pure: `show`, `watch` and `list` print the same lines.

use super::seen::{Seen, Thing, Told, Who};
use crate::ui::{Align, Ink, Line, Table, flowing, words};

/// The list of segments.
pub(super) fn list(segments: &[Seen]) -> Vec<Line> {
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
    table.lines()
}

/// One segment.
pub(super) fn segment(seen: &Seen, width: usize) -> Vec<Line> {
    let size = words::bytes(seen.bytes);
    let mut lines = vec![
        Line::of(Ink::Title, &seen.name)
            .and(Ink::Dim, format!("  {size} at {}, made {} ago", seen.path, age(seen.age_s))),
    ];
    if seen.outdated {
        lines
            .push(Line::of(Ink::Bad, "from before the machine was started: its locks mean nothing any more"));
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
    const INDENT: usize = 4;
    let mut head = Line::of(Ink::Strong, &thing.name).and(Ink::Dim, format!("  {}", thing.kind));
    if !thing.layout.is_empty() {
        head.push(Ink::Dim, format!(" of {}", thing.layout));
    }
    let mut lines = vec![head];
    if let Some(why) = &thing.damaged {
        lines.push(Line::of(Ink::Bad, why).indented(INDENT));
    }
    let entries = thing.figures.iter().map(|said| {
        let value = match &said.value {
            Told::Number(number) => words::count(*number),
            Told::Text(text) => text.clone(),
        };
        let ink = if said.is_bad { Ink::Bad } else { Ink::Plain };
        Line::of(Ink::Dim, format!("{} ", said.name)).and(ink, value)
    });
    lines.extend(
        flowing(entries, "   ", width.saturating_sub(INDENT)).into_iter().map(|line| line.indented(INDENT)),
    );
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
    use crate::share::seen::Said;

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
                    said("holder", Told::Text("4711 (shop), who died".to_owned()), true),
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
        let text: Vec<String> = list(&[example()]).iter().map(Line::plain).collect();
        assert_eq!(text.len(), 2);
        assert!(text[1].starts_with("shop") && text[1].contains("60 min"), "{text:?}");
    }
}
