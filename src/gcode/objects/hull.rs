//! The outline of an object: the convex hull of the points that were printed, in bounded memory.

use super::MAX_CORNERS;

/// A position on the bed, mm.
pub(super) type Point = (f64, f64);

/// Points outside the outline that are collected before it is computed anew.
const PENDING: usize = 64;
/// Points are taken to be inside if they stand out by no more than this (twice the area of the triangle, mm²).
const TOLERANCE: f64 = 0.01;

/// A convex hull that grows point by point and never has more than [`MAX_CORNERS`] corners: beyond that it gives up the
/// corner that stands out least.
#[derive(Debug, Default)]
pub(super) struct Hull {
    /// Corners, counter-clockwise.
    ring: Vec<Point>,
    pending: Vec<Point>,
    /// How far a corner stood out that was given up: points that do so no more would be given up again.
    slack: f64,
    /// The sector that the last point was in: the next one is mostly in the same.
    sector: usize,
    /// Two corners of a rectangle within the ring, for points that are plainly inside.
    core: Option<(Point, Point)>,
}

impl Hull {
    /// Takes in a point.
    pub(super) fn add(&mut self, point: Point) {
        if !self.contains(point) {
            self.pending.push(point);
            if self.pending.len() >= PENDING {
                self.rebuild();
            }
        }
    }

    /// The corners, counter-clockwise.
    pub(super) fn corners(&mut self) -> &[Point] {
        self.rebuild();
        &self.ring
    }

    /// Whether a point is inside the ring, by looking for the sector, seen from the first corner, that it is in.
    fn contains(&mut self, point: Point) -> bool {
        if let Some((low, high)) = self.core
            && (low.0..high.0).contains(&point.0)
            && (low.1..high.1).contains(&point.1)
        {
            return true;
        }
        let [first, fan @ ..] = self.ring.as_slice() else { return false };
        let is_left = |corner: &Point| turn(*first, *corner, point) >= 0.0;
        let is_in = |sector: usize| match (fan.get(sector), fan.get(sector + 1)) {
            (Some(right), Some(left)) => is_left(right) && !is_left(left),
            _ => false,
        };
        if !is_in(self.sector) {
            match fan.partition_point(is_left).checked_sub(1) {
                Some(sector) => self.sector = sector,
                None => return false,
            }
        }
        match (fan.get(self.sector), fan.get(self.sector + 1)) {
            (Some(right), Some(left)) => turn(*right, *left, point) >= -self.slack.max(TOLERANCE),
            _ => false,
        }
    }

    /// Computes the ring from itself and the pending points (Andrew's monotone chain).
    fn rebuild(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let mut points = std::mem::take(&mut self.ring);
        points.append(&mut self.pending);
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        points.dedup();
        let mut ring = half(points.iter().copied());
        let upper = half(points.iter().rev().copied());
        if points.len() > 1 {
            ring.pop();
            ring.extend(&upper[..upper.len() - 1]);
        }
        while ring.len() > MAX_CORNERS {
            self.slack = self.slack.max(remove_flattest(&mut ring));
        }
        self.ring = ring;
        self.core = None;
        self.core = [0.9, 0.7, 0.5].into_iter().find_map(|share| self.rectangle(share));
    }

    /// A rectangle of a share of the ring's extent, if it is within the ring.
    fn rectangle(&mut self, share: f64) -> Option<(Point, Point)> {
        let mut low = *self.ring.first()?;
        let mut high = low;
        for (x, y) in &self.ring {
            (low, high) = ((low.0.min(*x), low.1.min(*y)), (high.0.max(*x), high.1.max(*y)));
        }
        let between = |a: f64, b: f64| (a + (b - a) * (1.0 - share) / 2.0, b - (b - a) * (1.0 - share) / 2.0);
        let ((left, right), (front, back)) = (between(low.0, high.0), between(low.1, high.1));
        let corners = [(left, front), (right, front), (right, back), (left, back)];
        corners.into_iter().all(|corner| self.contains(corner)).then_some(((left, front), (right, back)))
    }
}

/// One side of the hull of sorted points.
fn half(points: impl Iterator<Item = Point>) -> Vec<Point> {
    let mut side: Vec<Point> = Vec::new();
    for point in points {
        while let [.., before, last] = side[..] {
            if turn(before, last, point) > 0.0 {
                break;
            }
            side.pop();
        }
        side.push(point);
    }
    side
}

/// Gives up the corner that stands out least. Gives how far it did.
fn remove_flattest(ring: &mut Vec<Point>) -> f64 {
    let count = ring.len();
    let area = |at: usize| turn(ring[(at + count - 1) % count], ring[at], ring[(at + 1) % count]);
    let areas = (0..count).map(|at| (area(at), at));
    let Some((area, flattest)) = areas.min_by(|a, b| a.0.total_cmp(&b.0)) else { return 0.0 };
    ring.remove(flattest);
    area
}

/// Twice the area of a triangle; positive if it turns counter-clockwise.
fn turn(a: Point, b: Point, c: Point) -> f64 {
    (b.0 - a.0) * (c.1 - a.1) - (b.1 - a.1) * (c.0 - a.0)
}

/// The centre of a convex ring: its centroid, or the middle of its corners if it has no area.
pub(super) fn centre(ring: &[Point]) -> Option<Point> {
    let first = *ring.first()?;
    let mut area = 0.0;
    let mut sum = (0.0, 0.0);
    for pair in ring.windows(2) {
        let [b, c] = [pair[0], pair[1]];
        let weight = turn(first, b, c);
        area += weight;
        sum.0 += weight * (first.0 + b.0 + c.0) / 3.0;
        sum.1 += weight * (first.1 + b.1 + c.1) / 3.0;
    }
    if area > TOLERANCE {
        return Some((sum.0 / area, sum.1 / area));
    }
    let count = ring.len() as f64;
    Some((ring.iter().map(|p| p.0).sum::<f64>() / count, ring.iter().map(|p| p.1).sum::<f64>() / count))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hull(points: &[Point]) -> Vec<Point> {
        let mut hull = Hull::default();
        points.iter().for_each(|point| hull.add(*point));
        hull.corners().to_vec()
    }

    #[test]
    fn square() {
        let mut points: Vec<Point> =
            (0..1000).map(|n| (f64::from(n % 11), f64::from(n % 7 * 2 % 11))).collect();
        points.extend([(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]);
        let ring = hull(&points);
        assert_eq!(ring, [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0), (0.0, 10.0)]);
        assert_eq!(centre(&ring), Some((5.0, 5.0)));
    }

    #[test]
    fn degenerate() {
        assert!(hull(&[]).is_empty());
        assert_eq!(centre(&[]), None);
        assert_eq!(hull(&[(1.0, 2.0); 100]), [(1.0, 2.0)]);
        let line = hull(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]);
        assert_eq!(line, [(0.0, 0.0), (2.0, 2.0)]);
        assert_eq!(centre(&line), Some((1.0, 1.0)));
    }

    #[test]
    fn a_circle_keeps_few_corners() {
        let points: Vec<Point> =
            (0..5_000).map(|n| f64::from(n) * 0.01).map(|a| (a.cos() * 50.0, a.sin() * 50.0)).collect();
        let ring = hull(&points);
        assert_eq!(ring.len(), MAX_CORNERS);
        let (x, y) = centre(&ring).unwrap();
        assert!(x.abs() < 0.5 && y.abs() < 0.5, "{x} {y}");
        assert!(ring.iter().all(|(x, y)| (x.hypot(*y) - 50.0).abs() < 1e-6));
    }

    proptest! {
        #[test]
        fn holds_every_point(points in prop::collection::vec((-100i16..100, -100i16..100), 0..300)) {
            let points: Vec<Point> = points.into_iter().map(|(x, y)| (f64::from(x), f64::from(y))).collect();
            let ring = hull(&points);
            prop_assert!(ring.len() <= MAX_CORNERS);
            if ring.len() > 2 && ring.len() < MAX_CORNERS {
                for point in &points {
                    for at in 0..ring.len() {
                        prop_assert!(turn(ring[at], ring[(at + 1) % ring.len()], *point) >= -0.05);
                    }
                }
            }
        }
    }
}
