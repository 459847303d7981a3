//! Jumps about in a raw video as a player does whose user drags the slider: frames are views of the mapped
//! file, and going to one costs nothing until its bytes are looked at.
//!
//! `cargo run --release --example frame_scrubber` makes a small video itself; or name one of yours: 8-bit
//! grey, 320 × 180 pixels a frame.

#![allow(clippy::print_stdout, reason = "a program that prints")]

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use mapwright::{Map, View};

const WIDTH: usize = 320;
const HEIGHT: usize = 180;
const FRAME: usize = WIDTH * HEIGHT;

/// How many frames the video has that we make: half a minute at 25 a second, 41 MiB.
const FRAMES: usize = 750;

/// How often the slider is dragged somewhere else.
const JUMPS: usize = 1000;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let own = folder.path().join("video.gray");
    let path = match std::env::args_os().nth(1) {
        Some(path) => path.into(),
        None => {
            shoot(&own)?;
            own
        }
    };
    let video = Map::open(&path)?;
    // Every frame is a view of its own; making 750 of them touches no byte.
    let frames: Vec<View<'_>> = video.view().pieces(FRAME).filter(|frame| frame.len() == FRAME).collect();
    if frames.is_empty() {
        return Err(format!("{} holds no frame of {WIDTH} × {HEIGHT}", path.display()).into());
    }
    println!("{} frames of {WIDTH} × {HEIGHT}, {} KiB each", frames.len(), FRAME / 1024);

    let (mut slowest, mut all, mut place) = (Duration::ZERO, Duration::ZERO, 0);
    let mut pixels = vec![0; FRAME];
    for _ in 0..JUMPS {
        place = (place * 1_103 + 577) % frames.len();
        let start = Instant::now();
        frames[place].copy_to(0, &mut pixels)?;
        let took = start.elapsed();
        (slowest, all) = (slowest.max(took), all + took);
    }
    let usual = all / u32::try_from(JUMPS)?;
    println!("{JUMPS} jumps: {usual:.1?} a frame, {slowest:.1?} the slowest");

    // A preview needs a part of the picture only: rows are views of the frame, and only their bytes are read.
    let middle = frames[frames.len() / 2];
    println!("\nframe {}:", frames.len() / 2);
    print!("{}", preview(middle)?);
    Ok(())
}

/// Makes a video: a ball that flies over a shaded floor.
fn shoot(path: &Path) -> Result<(), Box<dyn Error>> {
    let video = Map::create(path, FRAME * FRAMES)?;
    let mut pixels = vec![0; FRAME];
    for (number, frame) in video.view().pieces(FRAME).enumerate() {
        draw(number, &mut pixels);
        frame.write_bulk(0, &pixels)?;
    }
    Ok(())
}

/// Draws one frame.
fn draw(number: usize, pixels: &mut [u8]) {
    // The ball bounces on a parabola, 50 frames from floor to floor.
    let step = number % 50;
    let ball = ((number * 2) % WIDTH, HEIGHT - 40 - step * (50 - step) / 6);
    for (row, line) in pixels.chunks_mut(WIDTH).enumerate() {
        for (column, pixel) in line.iter_mut().enumerate() {
            let (x, y) = (column.abs_diff(ball.0), row.abs_diff(ball.1));
            let shade = match x * x + y * y {
                distance if distance < 400 => 255 - distance / 4,
                _ if row > HEIGHT - 30 => 90 + (column / 20 + row / 10) % 2 * 40,
                _ => 10 + row / 8,
            };
            *pixel = u8::try_from(shade).unwrap_or(u8::MAX);
        }
    }
}

/// A frame in characters, of every fifth column and tenth row.
fn preview(frame: View<'_>) -> Result<String, mapwright::Fault> {
    const SHADES: [char; 8] = [' ', '.', ':', '-', '=', '+', '#', '@'];
    let mut text = String::new();
    for row in (0..HEIGHT).step_by(10) {
        let line = frame.sub(row * WIDTH..(row + 1) * WIDTH)?;
        for column in (0..WIDTH).step_by(5) {
            let shade = line.load::<u8>(column)?;
            text.push(SHADES[usize::from(shade / 32)]);
        }
        text.push('\n');
    }
    Ok(text)
}
