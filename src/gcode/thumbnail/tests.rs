use super::*;

#[test]
fn bases() {
    assert_eq!(base("a.gcode"), "a");
    assert_eq!(base("two.dots.gcode.gcode"), "two.dots.gcode");
    assert_eq!(base("a.gco"), "a.gco");
    assert_eq!(base(".gcode"), ".gcode");
}
