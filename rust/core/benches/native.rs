//! What the native parts cost: `cargo bench`.

fn main() {
    divan::main();
}
