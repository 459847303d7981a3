//! Just enough of Rust's grammar to tell code from comments and literals.
//!
//! Rules that look for words (`unsafe`) or marks in code would otherwise trip over documentation and strings
//! that talk about them. There is no parsing here: what cannot be a comment, a string or a character is code.

/// The same text with every comment and every literal's inside replaced by blanks; lines keep their numbers.
pub(crate) fn code_only(text: &str) -> String {
    let mut lexer = Lexer { rest: text, out: String::with_capacity(text.len()) };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.out
}

/// Whether `word` stands in `code` by itself, not as a part of a longer identifier.
pub(crate) fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(start, _)| {
        let before = code[..start].chars().next_back();
        let after = code[start + word.len()..].chars().next();
        // `r#unsafe` is a name, not the keyword.
        !before.is_some_and(|c| is_name(c) || c == '#') && !after.is_some_and(is_name)
    })
}

struct Lexer<'a> {
    rest: &'a str,
    out: String,
}

impl Lexer<'_> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            self.blank(end);
        } else if self.rest.starts_with("/*") {
            self.blank(block_comment(self.rest));
        } else if let Some(length) = string(self.rest) {
            self.blank(length);
        } else if let Some(length) = character(self.rest) {
            self.blank(length);
        } else {
            self.keep();
        }
    }

    /// Keeps one name whole (so that its end is not taken for a string's prefix), or one other character.
    fn keep(&mut self) {
        let name = self.rest.find(|c: char| !is_name(c)).unwrap_or(self.rest.len());
        let length = if name > 0 { name } else { self.rest.chars().next().map_or(0, char::len_utf8) };
        self.out.push_str(&self.rest[..length]);
        self.rest = &self.rest[length..];
    }

    fn blank(&mut self, length: usize) {
        let (gone, rest) = self.rest.split_at(length);
        self.out.extend(gone.chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        self.rest = rest;
    }
}

fn is_name(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// The length of the (possibly nested) block comment that `text` begins with.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..) {
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            match rest.chars().next() {
                Some(c) => at += c.len_utf8(),
                None => break,
            }
        }
    }
    text.len()
}

/// The length of the string literal that `text` begins with, if it does.
fn string(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "b", "c", "r", ""].into_iter().find(|prefix| {
        text.strip_prefix(prefix).is_some_and(|rest| {
            let rest = if prefix.ends_with('r') { rest.trim_start_matches('#') } else { rest };
            rest.starts_with('"')
        })
    })?;
    let body = &text[prefix.len()..];
    if !prefix.ends_with('r') {
        return Some(prefix.len() + quoted(body, '"'));
    }
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inside = hashes + 1;
    let close = format!("\"{}", "#".repeat(hashes));
    let length = body[inside..].find(&close).map_or(body.len(), |end| inside + end + close.len());
    Some(prefix.len() + length)
}

/// The length of the character literal that `text` begins with, if it is one and not a lifetime.
fn character(text: &str) -> Option<usize> {
    let prefix = usize::from(text.starts_with("b'"));
    let body = &text[prefix..];
    let mut inside = body.strip_prefix('\'')?.chars();
    let (first, second) = (inside.next()?, inside.next());
    (first == '\\' || second == Some('\'')).then(|| prefix + quoted(body, '\''))
}

/// The length of a literal with escapes, from its opening quote to its closing one.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, code: &str) {
        assert_eq!(code_only(text).split_whitespace().collect::<Vec<_>>().join(" "), code);
    }

    #[test]
    fn comments_vanish() {
        check("a // unsafe\nb", "a b");
        check("a /* unsafe /* nested */ still */ b", "a b");
        check("/// unsafe {}\nfn f() {}", "fn f() {}");
        check("a /* never closed", "a");
    }

    #[test]
    fn strings_vanish() {
        check(r#"f("unsafe \" // no comment"); g"#, "f( ); g");
        check(r###"f(r#"unsafe " "#, b"unsafe", br"unsafe\", c"unsafe"); g"###, "f( , , , ); g");
        check("f(\"never closed", "f(");
    }

    #[test]
    fn characters_vanish_and_lifetimes_stay() {
        check(r#"x('"', '\'', b'"', '\u{1F600}') unsafe"#, "x( , , , ) unsafe");
        check("fn f<'a>(x: &'a str, y: &'static str)", "fn f<'a>(x: &'a str, y: &'static str)");
    }

    #[test]
    fn a_name_that_ends_like_a_prefix_keeps_its_string_apart() {
        check(r#"abr"unsafe" x"#, "abr x");
    }

    #[test]
    fn lines_keep_their_numbers() {
        let text = "a\n/* 1\n2 */\n\"3\n4\"\nunsafe";
        assert_eq!(code_only(text).lines().position(|line| line.contains("unsafe")), Some(5));
    }

    #[test]
    fn a_word_is_not_a_part_of_a_name() {
        assert!(has_word("unsafe{", "unsafe"));
        assert!(has_word("#[unsafe(no_mangle)]", "unsafe"));
        assert!(!has_word("deny(unsafe_code)", "unsafe"));
        assert!(!has_word("not_unsafe r#unsafe", "unsafe"));
    }
}
