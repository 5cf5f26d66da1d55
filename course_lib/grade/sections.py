"""Where the course teaches what an answer is about: a section of a lesson, on its page and in its notebook."""

from dataclasses import dataclass

from docutils.nodes import make_id

_PLACES = """
bits_per_image            01_why_discrete          4. What does it cost to say it?
compression_ratio         01_why_discrete          4. What does it cost to say it?
flatten_latents           02_flattening            2. Memory is a street, and `permute` moves nobody
unflatten_latents         02_flattening            4. Back to a grid
pairwise_distances        03_nearest_code          3. All pairs from one product
nearest_codes             03_nearest_code          1. The rule, in two lines
look_up                   03_nearest_code          4. Look up
straight_through          04_straight_through      4. You write it
clipped_straight_through  04_straight_through      5. Of what is it the gradient?
codebook_loss             05_three_losses          1. One distance, two losses
commitment_loss           05_three_losses          1. One distance, two losses
codebook_gradient         05_three_losses          3. Who hears what
gradient_matrix           05_three_losses          3. Who hears what
ema_update                06_ema_updates           2. A ledger for each code
perplexity                06_ema_updates           8. How many codes are at work?
LibraryVQVAE              07_mnist_library         2. One line in the middle
VectorQuantize            08_mnist_from_scratch    1. A layer that learns by gradient
kmeans_init               09_codebook_health       5. First cure: start codes on latents
restart_dead_codes        09_codebook_health       6. Second cure: restart the dead
ResidualBlock             10_cifar10_resnet        1. The network, shape by shape
normalized_mse            10_cifar10_resnet        2. What the published number means
pca_colours               11_inside_the_latents    3. Latents as colours
mask_position             11_inside_the_latents    6. Zero is not a code
latent_length             12_sound_and_video       2. How many codes is a second?
snr_db                    12_sound_and_video       4. Listen
residual_quantize         13_quantizer_family      4. Residual quantisation
causal_mask               14_priors                4. A PixelCNN over codes
bits_per_code             14_priors                3. One code after another
sample_codes              14_priors                5. Samples, and temperature
bug_01                    03_nearest_code          3. All pairs from one product
bug_02                    02_flattening            3. The permute trap
bug_03                    07_mnist_library         3. The training loop
bug_04                    09_codebook_health       3. A tracker for the long run
bug_05                    10_cifar10_resnet        1. The network, shape by shape
bug_06                    11_inside_the_latents    6. Zero is not a code
bug_07                    09_codebook_health       1. Two numbers for one histogram
bug_08                    06_ema_updates           5. A ghost at the origin
bug_09                    09_codebook_health       8. Freezing a codebook
bug_10                    09_codebook_health       5. First cure: start codes on latents
bug_11                    06_ema_updates           2. A ledger for each code
bug_12                    08_mnist_from_scratch    1. A layer that learns by gradient
bug_13                    10_cifar10_resnet        1. The network, shape by shape
bug_14                    05_three_losses          2. What β balances
bug_15                    13_quantizer_family      4. Residual quantisation
"""


@dataclass(frozen=True)
class Section:
    """lesson: "04_straight_through". heading: as the notebook has it, with its number."""

    lesson: str
    heading: str

    @property
    def in_words(self) -> str:
        return f"lesson {self.lesson[:2]}, section {self.heading}".replace("`", "")

    @property
    def page(self) -> str:
        """Its place on the course's pages, as seen from their folder."""
        return f"notebooks/{self.lesson}.html#{make_id(self.heading)}"


SECTIONS = {name: Section(*rest) for name, *rest in (line.split(None, 2) for line in _PLACES.strip().splitlines())}
