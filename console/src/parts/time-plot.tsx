import { useEffect, useRef } from "react";
import UPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { useTag } from "../messages/language";
import { count } from "./number";
import { moment, shortClock } from "./time";
import "./time-plot.css";

const HEIGHT = 180;

interface Props {
  label: string;
  /** What the values are. */
  unit: string;
  /** Times in milliseconds, oldest first, with their values. Null leaves a gap. */
  points: readonly (readonly [number, number | null])[];
}

/** Draw values over time. Put a table with the same values beside it, because a plot cannot be read aloud. */
export function TimePlot({ label, unit, points }: Props) {
  const tag = useTag();
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<UPlot>(undefined);
  const data = useRef<UPlot.AlignedData>([[], []]);
  data.current = [points.map(([at]) => at / 1_000), points.map(([, value]) => value)];

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const style = getComputedStyle(element);
    const colour = (name: string) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line") }, ticks: { stroke: colour("--line") } };
    const drawn = new UPlot(
      {
        width: element.clientWidth,
        height: HEIGHT,
        scales: { y: { range: (_, __, most) => [0, Math.max(1, most)] } },
        axes: [
          { ...axis, values: (_, times) => times.map((at) => shortClock(at * 1_000, tag)), space: 90 },
          { ...axis, values: (_, values) => values.map((each) => count(each, tag)), size: 70 },
        ],
        series: [
          { value: (_, at) => (at === null ? "—" : moment(new Date(at * 1_000).toISOString(), tag)) },
          { label: unit, stroke: colour("--accent"), width: 2, value: (_, value) => count(value, tag) },
        ],
      },
      data.current,
      element,
    );
    plot.current = drawn;
    const resized = new ResizeObserver(() => drawn.setSize({ width: element.clientWidth, height: HEIGHT }));
    resized.observe(element);
    return () => {
      resized.disconnect();
      drawn.destroy();
    };
  }, [tag, unit]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: new points are drawn on the plot that is there
  useEffect(() => plot.current?.setData(data.current), [points]);

  return <div className="time-plot" role="img" aria-label={label} ref={frame} />;
}
