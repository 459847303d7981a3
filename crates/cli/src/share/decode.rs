//! Values whose type is known only as text: the canonical layout that a segment keeps of it.
//!
//! ```text
//!  {id:u64@0,price:f64@8,venue:[u8;8]@16;size=24,align=8}
//! ```

use serde_json::{Map, Number, Value};

/// Turns a value's bytes into JSON, by the layout of its type. `None` where the text is no layout, or of
/// another length.
pub(super) fn decode(layout: &str, bytes: &[u8]) -> Option<Value> {
    let mut text = Text(layout);
    let shape = text.shape()?;
    (text.0.is_empty() && shape.size() == bytes.len()).then(|| shape.read(bytes)).flatten()
}

enum Shape {
    Number { name: String, size: usize },
    Array { element: Box<Shape>, count: usize },
    Struct { fields: Vec<(String, Shape, usize)>, size: usize },
}

struct Text<'a>(&'a str);

impl Text<'_> {
    fn shape(&mut self) -> Option<Shape> {
        if self.skip('[') {
            let element = Box::new(self.shape()?);
            let count = self.skip(';').then(|| self.number()).flatten()?;
            let shape = Shape::Array { element, count };
            shape.checked_size()?;
            return self.skip(']').then_some(shape);
        }
        if self.skip('{') {
            return self.fields();
        }
        let name = self.word();
        let size = match name.trim_end_matches("le").trim_end_matches("be") {
            "u8" | "i8" => 1,
            "u16" | "i16" => 2,
            "u32" | "i32" | "f32" => 4,
            "u64" | "i64" | "f64" => 8,
            "u128" | "i128" => 16,
            _ => return None,
        };
        Some(Shape::Number { name, size })
    }

    fn fields(&mut self) -> Option<Shape> {
        let mut fields = Vec::new();
        while !self.skip(';') {
            let name = self.word();
            let shape = self.skip(':').then(|| self.shape()).flatten()?;
            let offset = self.skip('@').then(|| self.number()).flatten()?;
            fields.push((name, shape, offset));
            self.skip(',');
        }
        let size = self.skip_text("size=").then(|| self.number()).flatten()?;
        let _align = self.skip_text(",align=").then(|| self.number()).flatten()?;
        let fits = |(_, shape, offset): &(String, Shape, usize)| {
            shape.checked_size().and_then(|len| offset.checked_add(len)).is_some_and(|end| end <= size)
        };
        (self.skip('}') && fields.iter().all(fits)).then_some(Shape::Struct { fields, size })
    }

    fn skip(&mut self, letter: char) -> bool {
        self.0.strip_prefix(letter).is_some_and(|rest| {
            self.0 = rest;
            true
        })
    }

    fn skip_text(&mut self, text: &str) -> bool {
        text.chars().all(|letter| self.skip(letter))
    }

    fn word(&mut self) -> String {
        let end =
            self.0.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(self.0.len());
        let (word, rest) = self.0.split_at(end);
        self.0 = rest;
        word.to_owned()
    }

    fn number(&mut self) -> Option<usize> {
        self.word().parse().ok()
    }
}

impl Shape {
    fn checked_size(&self) -> Option<usize> {
        match self {
            Self::Number { size, .. } | Self::Struct { size, .. } => Some(*size),
            Self::Array { element, count } => element.checked_size()?.checked_mul(*count),
        }
    }

    fn size(&self) -> usize {
        self.checked_size().unwrap_or(usize::MAX)
    }

    fn read(&self, bytes: &[u8]) -> Option<Value> {
        match self {
            Self::Number { name, size } => number(name, bytes.get(..*size)?),
            Self::Array { element, count } => {
                if let Some(text) = text_of(element, bytes.get(..*count)?) {
                    return Some(text);
                }
                let size = element.size();
                let read = |index: usize| element.read(bytes.get(index * size..)?);
                (0..*count).map(read).collect::<Option<Vec<_>>>().map(Value::Array)
            }
            Self::Struct { fields, .. } => {
                let mut object = Map::new();
                for (name, shape, offset) in fields {
                    object.insert(name.clone(), shape.read(bytes.get(*offset..)?)?);
                }
                Some(Value::Object(object))
            }
        }
    }
}

/// Bytes that are text, filled up with zeros.
fn text_of(element: &Shape, bytes: &[u8]) -> Option<Value> {
    if !matches!(element, Shape::Number { name, .. } if name == "u8") {
        return None;
    }
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let (text, rest) = bytes.split_at(end);
    let text = std::str::from_utf8(text).ok().filter(|text| !text.chars().any(char::is_control))?;
    (!text.is_empty() && rest.iter().all(|&byte| byte == 0)).then(|| Value::String(text.to_owned()))
}

fn number(name: &str, bytes: &[u8]) -> Option<Value> {
    let swap = if cfg!(target_endian = "little") { name.ends_with("be") } else { name.ends_with("le") };
    let mut bytes = bytes.to_vec();
    if swap {
        bytes.reverse();
    }
    macro_rules! read {
        ($number:ty) => {
            <$number>::from_ne_bytes(bytes.as_slice().try_into().ok()?)
        };
    }
    Some(match name.trim_end_matches("le").trim_end_matches("be") {
        "u8" => read!(u8).into(),
        "u16" => read!(u16).into(),
        "u32" => read!(u32).into(),
        "u64" => read!(u64).into(),
        "i8" => read!(i8).into(),
        "i16" => read!(i16).into(),
        "i32" => read!(i32).into(),
        "i64" => read!(i64).into(),
        // JSON has no numbers of 128 bits that everybody reads, and none for infinity.
        "u128" => read!(u128).to_string().into(),
        "i128" => read!(i128).to_string().into(),
        "f32" => float(f64::from(read!(f32))),
        "f64" => float(read!(f64)),
        _ => return None,
    })
}

fn float(number: f64) -> Value {
    Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn structs_arrays_numbers_and_text_are_read_by_their_layout() {
        let more = "[{a:u16be@0,b:i16@2;size=4,align=2};2]";
        let layout = format!("{{id:u64@0,price:f64@8,venue:[u8;8]@16,more:{more}@24;size=32,align=8}}");
        let mut bytes = 7u64.to_ne_bytes().to_vec();
        bytes.extend(2.5f64.to_ne_bytes());
        bytes.extend(*b"XETRA\0\0\0");
        bytes.extend([0, 1, 0xff, 0xff, 1, 0, 2, 0]);
        let value = decode(&layout, &bytes).unwrap();
        let more = json!([{"a": 1, "b": -1}, {"a": 256, "b": 2}]);
        assert_eq!(value, json!({"id": 7, "price": 2.5, "venue": "XETRA", "more": more}));
        assert_eq!(decode("[u8;3]", &[0, 200, 1]).unwrap(), json!([0, 200, 1]));
        assert_eq!(decode("f64", &f64::INFINITY.to_ne_bytes()).unwrap(), json!("inf"));
    }

    #[test]
    fn what_is_no_layout_or_of_another_length_is_not_read() {
        for layout in [
            "",
            "bytes",
            "u64x",
            "[u8;",
            "[u8;99999999999999999999]",
            "{a:u64@8;size=8,align=8}",
            "[[u64;9999999999];9999999999]",
            "{a:u8@0;size=8",
        ] {
            assert_eq!(decode(layout, &[0; 8]), None, "{layout}");
        }
        assert_eq!(decode("u64", &[0; 7]), None);
    }
}
