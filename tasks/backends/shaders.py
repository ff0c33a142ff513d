"""GLSL of the renderer: bodies lit at their vertices, floor and backdrop at their pixels, edges smoothed on the
finished picture.

The lighting is pyrender's own (Cook-Torrance of glTF's metallic-roughness material), so that colours compare. Colours
are written as the root of linear light; the last step from there to gamma 2.2 is a table's, outside. Bodies are finely
meshed (about two pixels a triangle), so light taken at the vertices equals light taken at the pixels to the eye, and
costs a fraction of it on a software rasteriser.
"""

from __future__ import annotations

_HEAD = "#version 410 core\n"

# Positions must come out to the bit as pyrender's (P * V * M * I * vec4(position, 1) with M the identity), for ids are
# compared: the product of the two matrices comes as one, in 32 bits, and `precise` keeps the driver from reordering.
_CLIP = """
uniform mat4 world_clip;
vec4 clip(vec3 position)
{
    precise vec4 at = world_clip * vec4(position, 1.0);
    return at;
}
"""

_LIGHT = """
uniform vec3 eye;              // camera centre, world
uniform vec3 to_light;         // unit
uniform vec3 light;            // radiance of the directional light
uniform vec3 sky;              // ambient light from above
uniform vec3 ground;           // and from below
uniform mat4 light_clip;       // world -> shadow map, 0..1
uniform float shadow_texel;    // 1 / size of the shadow map
uniform float shadow_strength; // 0 turns shadows off
uniform sampler2DShadow shadow_map;

// Share of the light that reaches a point, four bilinear taps about two texels apart.
float lit(vec3 at)
{
    vec3 c = (light_clip * vec4(at, 1.0)).xyz;
    float d = shadow_texel;
    float sum = textureLod(shadow_map, c + vec3(-d, -0.5 * d, 0.0), 0.0)
              + textureLod(shadow_map, c + vec3(0.5 * d, -d, 0.0), 0.0)
              + textureLod(shadow_map, c + vec3(d, 0.5 * d, 0.0), 0.0)
              + textureLod(shadow_map, c + vec3(-0.5 * d, d, 0.0), 0.0);
    return 1.0 - shadow_strength * (1.0 - 0.25 * sum);
}

vec3 ambient(vec3 n) { return mix(ground, sky, 0.5 + 0.5 * n.y); }
"""

BODY_VERTEX = (
    _HEAD
    + "layout(location = 0) in vec3 position;\n"
    + "layout(location = 1) in vec3 normal;\n"
    + "layout(location = 2) in uint label; // person (1..) | region << 8 | part << 16\n"
    + _CLIP
    + _LIGHT
    + """
uniform sampler2D palette;     // a row a person, a column a region: linear rgb, roughness (negative: metal)
uniform float lift;            // metres that a point is moved off the surface before its shadow is looked up
out vec3 irradiance;
out vec3 gleam;
flat out vec3 albedo;
flat out uint tag;             // person | part << 8

void main()
{
    gl_Position = clip(position);
    vec4 material = texelFetch(palette, ivec2((label >> 8u) & 255u, (label & 255u) - 1u), 0);
    float rough = abs(material.a);
    float metal = material.a < 0.0 ? 1.0 : 0.0;
    vec3 n = normalize(normal + vec3(0.0, 1e-12, 0.0));
    vec3 v = normalize(eye - position);
    vec3 h = normalize(v + to_light);
    float nl = clamp(dot(n, to_light), 0.001, 1.0);
    float nv = clamp(abs(dot(n, v)), 0.001, 1.0);
    float nh = clamp(dot(n, h), 0.0, 1.0);
    float miss = clamp(1.0 - dot(v, h), 0.0, 1.0);
    vec3 f0 = mix(vec3(0.04), material.rgb, metal);
    vec3 fresnel = f0 + (1.0 - f0) * (miss * miss * miss * miss * miss);
    float k = (rough + 1.0) * (rough + 1.0) / 8.0;
    float g = nv / (nv * (1.0 - k) + k) * nl / (nl * (1.0 - k) + k);
    float a2 = rough * rough * rough * rough;
    float e = nh * nh * (a2 - 1.0) + 1.0;
    float d = a2 / (3.141592653589793 * e * e);
    vec3 direct = light * (nl * lit(position + n * lift));
    // Metal has no diffuse part; it takes a dim mirror of sky and ground instead, or it would be black off the
    // highlight.
    irradiance = direct * (1.0 - fresnel) * (0.96 * (1.0 - metal) / 3.141592653589793)
               + ambient(mix(n, reflect(-v, n), metal));
    gleam = direct * fresnel * (g * d / (4.0 * nl * nv + 0.001));
    albedo = material.rgb;
    tag = (label & 255u) | ((label >> 16u) << 8u);
}
"""
)

BODY_FRAGMENT = (
    _HEAD
    + """
in vec3 irradiance;
in vec3 gleam;
flat in vec3 albedo;
flat in uint tag;
layout(location = 0) out vec4 color;
layout(location = 1) out uint exact;   // depth in mm | person << 16 | part << 24

void main()
{
    color = vec4(sqrt(albedo * irradiance + gleam), 1.0);
    exact = min(uint(1000.0 / gl_FragCoord.w + 0.5), 65535u) | (tag << 16u);
}
"""
)

# The silhouette of everyone at once: a bit a person, OR-ed into the target.
BIT_VERTEX = (
    _HEAD
    + "layout(location = 0) in vec3 position;\n"
    + _CLIP
    + """
void main() { gl_Position = clip(position); }
"""
)
BIT_FRAGMENT = (
    _HEAD
    + """
uniform uint bit;
layout(location = 2) out uint bits;
void main() { bits = bit; }
"""
)

SHADOW_VERTEX = (
    _HEAD
    + """
layout(location = 0) in vec3 position;
uniform mat4 light_clip;
void main() { gl_Position = vec4((light_clip * vec4(position, 1.0)).xyz * 2.0 - 1.0, 1.0); }
"""
)
SHADOW_FRAGMENT = _HEAD + "void main() {}\n"

GROUND_VERTEX = (
    _HEAD
    + "layout(location = 0) in vec3 position;\n"
    + "layout(location = 1) in vec2 texture_at;\n"
    + _CLIP
    + """
out vec3 world;
out vec2 uv;
void main()
{
    gl_Position = clip(position);
    world = position;
    uv = texture_at;
}
"""
)
# The floor fades into the backdrop's foot, as the cove of a photographer's studio does.
_FLOOR = (
    _LIGHT
    + """
in vec3 world;
in vec2 uv;
uniform sampler2D floor_texture;
uniform vec3 cove;             // linear colour at the foot of the backdrop
uniform float radius;          // of the backdrop, metres
uniform vec2 centre;           // and where its axis stands
uniform float texels_per_pixel;  // texels of the floor that a pixel spans at one metre
layout(location = 0) out vec4 color;
layout(location = 1) out uint exact;

void main()
{
    float z = 1.0 / gl_FragCoord.w;
    float slant = length(eye - world) / max(eye.y, 0.05);
    float level = log2(max(texels_per_pixel * z * sqrt(slant), 1.0));
    vec3 albedo = textureLod(floor_texture, uv, level).rgb;
    albedo *= albedo;          // kept as its root: eight bits are finer in the dark so
    vec3 direct = light * (clamp(to_light.y, 0.001, 1.0) * SHARE(world) * 0.96 / 3.141592653589793);
    float far = smoothstep(0.55 * radius, 0.98 * radius, length(world.xz - centre));
    color = vec4(sqrt(mix(albedo * (direct + sky), cove, far)), 1.0);
    exact = min(uint(1000.0 * z + 0.5), 65535u);
}
"""
)
# Shadows are looked up only on the piece of floor that they can reach.
SHADED_FLOOR_FRAGMENT = _HEAD + "#define SHARE lit\n" + _FLOOR
FLOOR_FRAGMENT = _HEAD + "#define SHARE(at) 1.0\n" + _FLOOR
WALL_FRAGMENT = (
    _HEAD
    + """
in vec3 world;
in vec2 uv;
uniform sampler2D wall_texture;
layout(location = 0) out vec4 color;
layout(location = 1) out uint exact;
void main()
{
    color = vec4(textureLod(wall_texture, uv, 0.0).rgb, 1.0);
    exact = min(uint(1000.0 / gl_FragCoord.w + 0.5), 65535u);
}
"""
)

PICTURE_VERTEX = (
    _HEAD
    + """
void main()
{
    vec2 corner = vec2(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0);
    gl_Position = vec4(corner, 0.0, 1.0);
}
"""
)
# FXAA (Lottes 2009, the short console form): blends along the edge where the luma around a pixel differs, else copies.
PICTURE_FRAGMENT = (
    _HEAD
    + """
uniform sampler2D picture;
uniform vec2 texel;
layout(location = 0) out vec4 color;
const vec3 LUMA = vec3(0.299, 0.587, 0.114);

void main()
{
    vec2 at = gl_FragCoord.xy * texel;
    vec3 middle = textureLod(picture, at, 0.0).rgb;
    float nw = dot(textureLod(picture, at + vec2(-0.5, -0.5) * texel, 0.0).rgb, LUMA);
    float ne = dot(textureLod(picture, at + vec2(0.5, -0.5) * texel, 0.0).rgb, LUMA);
    float sw = dot(textureLod(picture, at + vec2(-0.5, 0.5) * texel, 0.0).rgb, LUMA);
    float se = dot(textureLod(picture, at + vec2(0.5, 0.5) * texel, 0.0).rgb, LUMA);
    float m = dot(middle, LUMA);
    float low = min(m, min(min(nw, ne), min(sw, se)));
    float high = max(m, max(max(nw, ne), max(sw, se)));
    vec2 along = vec2((sw + se) - (nw + ne), (nw + sw) - (ne + se));
    float least = 1.0 / (min(abs(along.x), abs(along.y)) + max((nw + ne + sw + se) * 0.03125, 0.0078125));
    along = clamp(along * least, vec2(-4.0), vec2(4.0)) * texel;
    vec3 near = 0.5 * (textureLod(picture, at - along * 0.16667, 0.0).rgb
                       + textureLod(picture, at + along * 0.16667, 0.0).rgb);
    vec3 wide = 0.5 * near + 0.25 * (textureLod(picture, at - along * 0.5, 0.0).rgb
                                     + textureLod(picture, at + along * 0.5, 0.0).rgb);
    float w = dot(wide, LUMA);
    vec3 smoothed = (w < low || w > high) ? near : wide;
    color = vec4(high - low < max(0.04, 0.1 * high) ? middle : smoothed, 1.0);
}
"""
)
