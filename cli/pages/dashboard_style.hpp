#pragma once

#include <string_view>

namespace headrace::cli {

/// What the dashboard has beside the report's look.
inline constexpr std::string_view dashboard_style = R"css(
.pulse { margin-left: auto; display: flex; align-items: center; gap: 8px; }
.pulse::before { content: ""; width: 9px; height: 9px; border-radius: 50%; background: var(--water); }
.pulse.lost { color: var(--warn); }
.pulse.lost::before { background: none; border: 2px solid var(--warn); }
.flow { display: flex; gap: 0; margin: 20px 0 2px; padding: 0; list-style: none; }
.flow li { position: relative; flex: 1 1 0; min-width: 0; padding: 0 14px 0 16px; border-left: 3px solid var(--faint); }
.flow li:not(:last-child)::after {
  content: ""; position: absolute; right: 10px; top: 14px; width: 9px; height: 9px; transform: rotate(45deg);
  border: solid var(--faint); border-width: 2.5px 2.5px 0 0;
}
.flow .stage { display: block; min-height: 2.7em; color: var(--soft); font-size: 14px; line-height: 1.35; }
.flow .rate { display: block; white-space: nowrap; font-size: clamp(19px, 2.1vw, 26px); line-height: 1.25; font-weight: 640; letter-spacing: -.02em; }
.flow .rate small { color: var(--soft); font-size: 14px; font-weight: 400; letter-spacing: 0; }
.flow .all, .flow .note { display: block; color: var(--soft); font-size: 13.5px; line-height: 1.4; }
.flow .note.warn { color: var(--warn); }
.warn { color: var(--warn); }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 20px; margin: 0 0 20px; }
.pair .card { margin: 0; }
.pair table { margin-top: 12px; }
.left th:first-child { text-align: left; }
.left tbody tr:last-child th, .left tbody tr:last-child td { font-weight: 400; }
@media (max-width: 720px) {
  .flow { flex-direction: column; gap: 0; }
  .flow .stage { min-height: 0; }
  .flow li { padding: 0 0 18px 18px; }
  .flow li:last-child { padding-bottom: 0; }
  .flow li:not(:last-child)::after { right: auto; left: -7.5px; top: auto; bottom: 8px; transform: rotate(135deg); }
  .pair { grid-template-columns: 1fr; gap: 14px; }
}
)css";

}  // namespace headrace::cli
